#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Containers of a real Docker engine: chosen by name, filtered by cgroup, named in the trace.

load ../bats/helper
load helper

# Works for ever in a container, whose standard input is closed.
FOREVER='
import os, time
def leaf(n):
    return n + 1
def work():
    return sum(leaf(n) for n in range(20))
print("ready", flush=True)
while True:
    work()
    time.sleep(0.002)
'

setup_file() {
	start_engine
}

teardown_file() {
	stop_engine
}

@test "of two containers that share an image, the one is traced, under its name" {
	need_image trixie
	start_container web vizbpf-trixie "$FOREVER"
	web=$CONTAINER_PID
	start_container worker vizbpf-trixie "$FOREVER"
	worker=$CONTAINER_PID
	start_vizbpf -q --container web -o a.json
	stop_after_calls
	[ "$(pids_in a.json)" = "$web" ]
	[ "$(calls_of a.json work)" -gt 0 ]
	[ "$(label a.json "$web" container)" = web ]
	[ "$(label a.json "$web" image)" = vizbpf-trixie ]
	[ "$(label a.json "$web" ns_pid)" = 1 ]
	jq -e '.traceEvents[] | select(.name == "process_labels") | .args.labels |
		select(contains("container web") and contains("image vizbpf-trixie") and
		       contains("pid 1 inside"))' a.json
}

@test "by id, by the beginning of an id, and two at once" {
	need_image trixie
	start_container web vizbpf-trixie "$FOREVER"
	web=$CONTAINER_PID
	id=$CONTAINER_ID
	start_container worker vizbpf-trixie "$FOREVER"
	worker=$CONTAINER_PID
	for spec in "$id" "${id:0:12}" "${id:0:6}"; do
		start_vizbpf -q --container "$spec" -o a.json
		stop_after_calls
		[ "$(pids_in a.json)" = "$web" ]
	done
	start_vizbpf -q --container web --container worker -o a.json
	stop_after_calls
	[ "$(pids_in a.json | sort -n)" = "$(printf '%s\n' "$web" "$worker" | sort -n)" ]
}

@test "a container that there is not is refused with those there are" {
	need_image trixie
	start_container web vizbpf-trixie "$FOREVER"
	run_vizbpf --container no-such-container -o a.json
	assert_refused
	assert_contains "$errors" web
	[ ! -e a.json ]
}

@test "what is started in the container while it is traced is recorded, what is outside is not" {
	need_image trixie
	start_container web vizbpf-trixie "$FOREVER"
	start_vizbpf -q --container web -o a.json
	docker exec web python3 -c '
def marker(): pass
for i in range(9): marker()'
	"$PYTHON" -c '
def marker(): pass
for i in range(5): marker()'
	stop_vizbpf
	[ "$("$HERE/../processes/trace.py" a.json calls marker | cut -d' ' -f2)" = 9 ]
}

@test "another Debian than the host's, with three Pythons" {
	need_image sid
	for version in 3.13 3.14 3.15; do
		CONTAINER_PYTHON=python$version start_container "sid-$version" vizbpf-sid "$FOREVER"
		pid=$CONTAINER_PID
		start_vizbpf -q --container "sid-$version" -o a.json
		stop_after_calls
		[ "$(pids_in a.json)" = "$pid" ]
		[[ "$(label a.json "$pid" python)" == "$version."* ]]
		[ "$(calls_of a.json work)" -gt 0 ]
		[ "$(calls_of a.json leaf)" -gt 0 ]
	done
}

@test "an old Debian" {
	need_image bullseye
	start_container old vizbpf-bullseye "$FOREVER"
	start_vizbpf -q -p "$CONTAINER_PID" -o a.json
	stop_after_calls
	[ "$(calls_of a.json leaf)" -gt 0 ]
	[ "$(label a.json "$CONTAINER_PID" container)" = old ]
}

@test "an interpreter whose file was deleted, or replaced by an upgrade" {
	need_image trixie
	start_container gone vizbpf-trixie "$FOREVER"
	docker exec gone sh -c 'f=$(readlink -f /usr/bin/python3) && cp $f /tmp/new && rm $f && mv /tmp/new $f'
	[[ "$(readlink "/proc/$CONTAINER_PID/exe")" == *" (deleted)" ]]
	start_vizbpf -q --container gone -o a.json
	stop_after_calls
	[ "$(calls_of a.json leaf)" -gt 0 ]
}

@test "another user and no privileges in the container" {
	need_image trixie
	start_container low vizbpf-trixie "$FOREVER" --user 4321:4321 --cap-drop ALL \
		--security-opt no-new-privileges --read-only
	start_vizbpf -q --container low -o a.json
	stop_after_calls
	[ "$(calls_of a.json leaf)" -gt 0 ]
}

@test "engine trampoline under Docker's own profile of system calls" {
	need_image trixie
	start_container web vizbpf-trixie "$FOREVER"
	grep -q '^Seccomp:.*2' "/proc/$CONTAINER_PID/status" || skip "no profile is set here"
	"$VIZBPF" -q --engine trampoline --container web -d 1 -o a.json
	[ "$(pids_in a.json)" = "$CONTAINER_PID" ]
	[ "$(calls_of a.json leaf)" -gt 0 ]
	[ "$(label a.json "$CONTAINER_PID" engine)" = trampoline ]
	[ "$(docker inspect -f '{{.State.Running}}' web)" = true ]
}

@test "vizbpf ps shows the container, and can be limited to one" {
	need_image trixie
	start_container web vizbpf-trixie "$FOREVER"
	web=$CONTAINER_PID
	start_container worker vizbpf-trixie "$FOREVER"
	run "$VIZBPF" ps
	[ "$status" -eq 0 ]
	grep -E "^$web .*web \(vizbpf-trixie\)" <<<"$output"
	grep -E "^$CONTAINER_PID .*worker \(vizbpf-trixie\)" <<<"$output"
	run "$VIZBPF" ps --container web --json
	[ "$status" -eq 0 ]
	jq -e --argjson pid "$web" 'length == 1 and .[0].pid == $pid and .[0].ns_pid == 1 and
		.[0].container.name == "web" and .[0].container.engine == "docker"' <<<"$output"
}

@test "without the engine's socket it is still found by its id" {
	need_image trixie
	start_container web vizbpf-trixie "$FOREVER"
	DOCKER_HOST=unix:///nonexistent start_vizbpf -q --container "${CONTAINER_ID:0:12}" -o a.json
	stop_after_calls
	[ "$(pids_in a.json)" = "$CONTAINER_PID" ]
	[ "$(label a.json "$CONTAINER_PID" container)" = "${CONTAINER_ID:0:12}" ]
}

@test "vizbpf itself in a container with the privileges it needs traces the host and other containers" {
	need_image trixie
	start_container web vizbpf-trixie "$FOREVER"
	libs=()
	for lib in $(ldd "$VIZBPF" | grep -o '/[^ ]*' | sort -u); do
		libs+=(-v "$(readlink -f "$lib"):/vizbpf/lib/$(basename "$lib"):ro")
	done
	mkdir out
	for engine in eval trampoline; do
		mkfifo "out/$engine"
		# What --privileged gives, less what a restricted machine has not to give.
		docker run -d --name tracer --network=none --pid=host --cgroupns=host \
			--security-opt seccomp=unconfined --security-opt apparmor=unconfined \
			--cap-add SYS_ADMIN --cap-add SYS_PTRACE \
			-v "$ENGINE/socket:/engine.sock" -e DOCKER_HOST=unix:///engine.sock \
			-v "$(readlink -f "$VIZBPF"):/vizbpf/vizbpf:ro" \
			-v "$WORK/out:/out" "${libs[@]}" vizbpf-trixie \
			sh -c 'exec /vizbpf/lib/ld-linux-x86-64.so.2 --library-path /vizbpf/lib \
				/vizbpf/vizbpf -q --engine "$0" --container web -o "/out/$0.json" \
				--ready-fd 9 9>"/out/$0"' "$engine" >/dev/null
		IFS= read -r -t 60 -N 1 _ <"out/$engine" || {
			docker logs tracer
			false
		}
		sleep 1 # some rounds of it
		docker kill --signal INT tracer >/dev/null
		[ "$(docker wait tracer)" = 0 ] || { docker logs tracer; false; }
		docker rm tracer >/dev/null
		[ "$(pids_in "out/$engine.json")" = "$CONTAINER_PID" ]
		[ "$(calls_of "out/$engine.json" leaf)" -gt 0 ]
		[ "$(label "out/$engine.json" "$CONTAINER_PID" container)" = web ]
		[ "$(label "out/$engine.json" "$CONTAINER_PID" engine)" = "$engine" ]
	done
}
