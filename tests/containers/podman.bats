#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A real Podman: by name from its storage, by id, and from its socket. runc and no limits of its
# own, so that it also runs where limits cannot be raised.

load ../bats/helper
load helper

# Where vizbpf looks for it; the test leaves a storage that is in use alone.
STORAGE=/var/lib/containers
FOREVER='
import time
def leaf(n):
    return n + 1
def work():
    return sum(leaf(n) for n in range(20))
print("ready", flush=True)
while True:
    work()
    time.sleep(0.002)
'

why_not() {
	command -v podman >/dev/null && command -v runc >/dev/null || {
		echo "podman or runc is not installed"
		return
	}
	[ -d "$ROOTS/trixie/usr/bin" ] || echo "no root trixie (tests/roots/make trixie)"
	[ ! -e $STORAGE ] || echo "Podman is in use here"
}

setup_file() {
	export ENGINE_SKIP CONTAINERS_CONF=$BATS_FILE_TMPDIR/containers.conf \
		CONTAINERS_STORAGE_CONF=$BATS_FILE_TMPDIR/storage.conf
	ENGINE_SKIP=$(why_not)
	printf '%s\n' '[containers]' 'default_ulimits=[]' 'netns="none"' 'log_driver="k8s-file"' \
		'[engine]' 'runtime="runc"' 'cgroup_manager="cgroupfs"' 'events_logger="file"' \
		>"$CONTAINERS_CONF"
	printf '%s\n' '[storage]' 'driver="vfs"' "graphroot=\"$STORAGE/storage\"" \
		"runroot=\"$BATS_FILE_TMPDIR/run\"" >"$CONTAINERS_STORAGE_CONF"
}

teardown() {
	local pid

	for pid in $TRACERS; do
		kill -INT "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	[ -n "$ENGINE_SKIP" ] || podman rm -f -t 0 -a >/dev/null
	[ -z "${SERVICE:-}" ] || kill "$SERVICE"
	cd /
	rm -rf --one-file-system "$WORK"
}

teardown_file() {
	[ -z "$ENGINE_SKIP" ] || return 0
	rm -rf --one-file-system $STORAGE
	find /sys/fs/cgroup -depth -path '*/libpod_parent*' -type d -exec rmdir {} + 2>/dev/null || :
}

# start_pod NAME: a container; sets PID and ID.
start_pod() {
	local line

	[ -z "$ENGINE_SKIP" ] || skip "$ENGINE_SKIP"
	ID=$(timeout 60 podman run -d --name "$1" --rootfs "$ROOTS/trixie" /usr/bin/python3 -u -c \
		"$FOREVER" 2>error) || skip "podman runs nothing here: $(tail -1 error)"
	read -r line < <(timeout 60 podman logs -f "$1" 2>&1)
	[ "$line" = ready ]
	PID=$(podman inspect -f '{{.State.Pid}}' "$1")
}

@test "by name, by id and its beginning, with each engine" {
	start_pod vizbpf-other
	start_pod vizbpf-web
	for spec in vizbpf-web "$ID" "${ID:0:12}"; do
		for engine in eval trampoline; do
			"$VIZBPF" -q --engine "$engine" --container "$spec" -d 1 -o a.json
			[ "$(pids_in a.json)" = "$PID" ]
			[ "$(calls_of a.json leaf)" -gt 0 ]
			[ "$(label a.json "$PID" container)" = vizbpf-web ]
		done
	done
	[ "$("$VIZBPF" ps --container vizbpf-web --json | jq -r '.[0].container.engine')" = podman ]
}

@test "by name from its socket, where the storage is elsewhere" {
	sed "s,$STORAGE/storage,$WORK/storage," "$CONTAINERS_STORAGE_CONF" >storage.conf
	CONTAINERS_STORAGE_CONF=$WORK/storage.conf
	start_pod vizbpf-web
	run_vizbpf --container vizbpf-web -o a.json
	assert_refused
	podman system service --time 60 "unix://$WORK/socket" >log 2>&1 3>&- &
	SERVICE=$!
	until [ -S socket ]; do
		kill -0 "$SERVICE" || skip "its service does not start: $(tail -1 log)"
		read -r -t 0.1 _ < <(:) || :
	done
	DOCKER_HOST=unix://$WORK/socket "$VIZBPF" -q --container vizbpf-web -d 1 -o a.json
	[ "$(pids_in a.json)" = "$PID" ]
	[ "$(label a.json "$PID" container)" = vizbpf-web ]
}
