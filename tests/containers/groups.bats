#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Control groups without an engine: v2, v1, nested, entered late; and runc by itself.

load ../bats/helper
load helper

setup() {
	WORK=$(mktemp -d "${BATS_TMPDIR:-/tmp}/vizbpf-bats-XXXXXX")
	TARGETS=
	TRACERS=
	MOUNTS=
	GROUPS_MADE=
	cd "$WORK" || return 1
	need_root
}

teardown() {
	local group pid

	for pid in $TRACERS; do
		kill -INT "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	for pid in $TARGETS; do
		kill -KILL "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	[ -z "${RUNC_NAME:-}" ] || runc delete -f "$RUNC_NAME" 2>/dev/null
	for group in $GROUPS_MADE; do
		rmdir "$group"
	done
	cd /
	rm -rf --one-file-system "$WORK"
}

# Where a hierarchy is mounted: v2, or the controller of v1.
hierarchy() { # v2 | CONTROLLER
	if [ "$1" = v2 ]; then
		awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts
	else
		awk -v name="$1" '$3 == "cgroup" && $4 ~ "(^|,)" name "(,|$)" { print $2; exit }' \
			/proc/self/mounts
	fi
}

# Makes a group and puts the process into it. GROUP is its directory.
make_group() { # v2 | CONTROLLER, NAME, PID
	GROUP=$(hierarchy "$1")
	[ -n "$GROUP" ] || skip "no hierarchy $1 is mounted here"
	GROUP=$GROUP/$2
	mkdir "$GROUP" || skip "a group cannot be made here"
	GROUPS_MADE="$GROUP $GROUPS_MADE"
	[ -z "${3:-}" ] || echo "$3" >"$GROUP/cgroup.procs"
}

check_group() { # v2 | CONTROLLER
	local name=vizbpf-test-$$-$RANDOM

	start_target "$BUSY"
	outside=$TARGET
	start_target "$BUSY"
	make_group "$1" "$name" "$TARGET"
	start_target "$BUSY"
	make_group "$1" "$name/nested" "$TARGET"
	inside="$(cat "$(hierarchy "$1")/$name/cgroup.procs")
$TARGET"
	for spec in "$(hierarchy "$1")/$name" "/$name" "$name"; do
		start_vizbpf -q --cgroup "$spec" -o a.json
		stop_after_calls
		[ "$(pids_in a.json | sort -n)" = "$(sort -n <<<"$inside")" ]
	done
	refute grep -qx "$outside" <(pids_in a.json)
}

@test "a bare group of cgroup v2, nested ones included, by directory and by path" {
	check_group v2
}

@test "a bare group of cgroup v1" {
	check_group freezer
}

@test "a process that is moved in while recording, and one that is started inside" {
	for kind in v2 freezer; do
		name=vizbpf-test-$$-$RANDOM
		make_group "$kind" "$name"
		start_target "$BUSY"
		moved=$TARGET
		start_vizbpf -q --cgroup "$GROUP" -o a.json
		echo "$moved" >"$GROUP/cgroup.procs"
		sh -c 'echo $$ >"$1/cgroup.procs"; exec "$2" -S -c "
def marker(): pass
for i in range(9): marker()"' sh "$GROUP" "$PYTHON" 3>&-
		# long enough to be seen: the moved one says when it has gone round again
		stop_vizbpf
		[ "$("$HERE/../processes/trace.py" a.json calls marker | cut -d' ' -f2)" = 9 ]
		grep -qx "$moved" <(pids_in a.json)
		[ "$(calls_of a.json leaf)" -gt 0 ]
	done
}

@test "a group that there is not is refused" {
	run_vizbpf --cgroup /no/such/group -o a.json
	assert_refused
	assert_contains "$errors" /no/such/group
	run_vizbpf --cgroup /etc -o a.json
	assert_refused
}

@test "runc alone: by the name it was given" {
	need runc
	[ -d "$ROOTS/trixie/usr/bin" ] || skip "no root trixie (tests/roots/make trixie)"
	name=vizbpf-test-$$
	RUNC_NAME=$name
	mkdir bundle
	(cd bundle && runc spec)
	jq --arg root "$ROOTS/trixie" --arg code "$(printf '%s' "$BUSY")" '
		.process.terminal = false | .process.args = ["python3", "-u", "-c", $code] |
		.root = {path: $root, readonly: true} |
		.linux.namespaces |= map(select(.type != "network"))' bundle/config.json >bundle/new
	mv bundle/new bundle/config.json
	mkfifo in out
	runc run --bundle bundle "$name" <>in >out 2>err 3>&- &
	TARGETS=$!
	exec {from}<>out
	read -r -t 30 line <&"$from" || { cat err; skip "runc does not work here: $(tail -1 err)"; }
	[ "$line" = ready ]
	pid=$(runc state "$name" | jq .pid)
	start_vizbpf -q --container "$name" -o a.json
	stop_after_calls
	echo go >in
	wait "$TARGETS"
	TARGETS=
	[ "$(pids_in a.json)" = "$pid" ]
	[ "$(label a.json "$pid" container)" = "$name" ]
	[ "$(calls_of a.json leaf)" -gt 0 ]
}
