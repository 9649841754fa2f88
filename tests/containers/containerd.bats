#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A real containerd without Docker or Kubernetes above it; the groups and annotations of a kubelet
# are given by hand. Its state lies where vizbpf looks for it, so none may be running here yet.

load ../bats/helper
load helper

STATE=/run/containerd
FOREVER='
import time
def leaf(n):
    return n + 1
def work():
    return sum(leaf(n) for n in range(20))
while True:
    work()
    time.sleep(0.002)
'

# The client, with an engine of our own.
c() {
	timeout 60 ctr -a "$BATS_FILE_TMPDIR/socket" "$@"
}

# What is missing, if anything; in use: the folders stay behind when the last container has gone.
why_not() {
	command -v containerd >/dev/null && command -v ctr >/dev/null && command -v runc >/dev/null || {
		echo "containerd or runc is not installed"
		return
	}
	[ -d "$ROOTS/trixie/usr/bin" ] || echo "no root trixie (tests/roots/make trixie)"
	[ -z "$(find $STATE/io.containerd.runtime.v2.task -mindepth 2 2>/dev/null)" ] ||
		echo "a containerd is in use here"
}

setup_file() {
	export ENGINE_SKIP ENGINE_PID=
	ENGINE_SKIP=$(why_not)
	[ -z "$ENGINE_SKIP" ] || return 0
	containerd --address "$BATS_FILE_TMPDIR/socket" --root "$BATS_FILE_TMPDIR/root" \
		--state $STATE --log-level error >"$BATS_FILE_TMPDIR/log" 2>&1 3>&- &
	ENGINE_PID=$!
	until c version >/dev/null 2>&1; do
		kill -0 "$ENGINE_PID" 2>/dev/null || {
			ENGINE_SKIP="containerd does not start here: $(tail -1 "$BATS_FILE_TMPDIR/log")"
			ENGINE_PID=
			return 0
		}
		read -r -t 0.1 _ < <(:) || :
	done
}

teardown() {
	local id pid

	[ -n "$ENGINE_PID" ] || return 0
	for pid in $TRACERS; do
		kill -INT "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	for id in $(c task ls -q); do
		c task kill -s KILL "$id"
	done
	for id in $(c container ls -q); do
		until c container rm "$id" 2>/dev/null; do
			read -r -t 0.1 _ < <(:) || :
		done
	done
	# runc removes the containers' own groups, not those above
	[ -z "${POD:-}" ] || rmdir -p /sys/fs/cgroup/*/"$POD" 2>/dev/null || :
	cd /
	rm -rf --one-file-system "$WORK"
}

teardown_file() {
	[ -n "$ENGINE_PID" ] || return 0
	kill -TERM "$ENGINE_PID"
	while kill -0 "$ENGINE_PID" 2>/dev/null; do
		read -r -t 0.1 _ < <(:) || :
	done
}

# start_task ID [OPTION...]: sets PID, of its python.
start_task() {
	local id=$1

	[ -z "$ENGINE_SKIP" ] || skip "$ENGINE_SKIP"
	shift
	c run -d --seccomp "$@" --rootfs "$ROOTS/trixie" "$id" /usr/bin/python3 -c "$FOREVER" ||
		skip "containerd cannot run anything here"
	PID=$(c task ls | awk -v id="$id" '$1 == id { print $2 }')
	# containerd's own profile of system calls is on, like Docker's
	grep -q '^Seccomp:.*2' "/proc/$PID/status"
}

random_id() {
	head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

# Chosen by SPEC, this process alone is recorded, by probes and from inside.
check_spec() { # SPEC PID
	local engine

	for engine in eval trampoline; do
		# -d: time for some rounds, however busy the machine is
		"$VIZBPF" -q --engine "$engine" --container "$1" -d 1 -o a.json
		[ "$(pids_in a.json)" = "$2" ] || return 1
		[ "$(calls_of a.json leaf)" -gt 0 ] || return 1
		[ "$(label a.json "$2" engine)" = "$engine" ] || return 1
	done
}

@test "by the name it was given" {
	start_task vizbpf-other
	start_task vizbpf-web
	check_spec vizbpf-web "$PID"
	[ "$(label a.json "$PID" container)" = vizbpf-web ]
}

@test "by a long id and by its beginning" {
	id=$(random_id)
	start_task "$id"
	check_spec "$id" "$PID"
	check_spec "${id:0:10}" "$PID"
	[ "$(label a.json "$PID" container)" = "${id:0:12}" ]
}

@test "a container of a pod, in the groups and with the annotations of Kubernetes" {
	POD=kubepods/besteffort/pod$(cat /proc/sys/kernel/random/uuid)
	pause=$(random_id) app=$(random_id)
	notes=(--annotation io.kubernetes.cri.sandbox-name=shop-7d4f
		--annotation io.kubernetes.cri.sandbox-namespace=default
		--annotation io.kubernetes.cri.image-name=shop:3)
	start_task "$pause" --cgroup "/$POD/$pause" "${notes[@]}" \
		--annotation io.kubernetes.cri.container-name=side
	side=$PID
	start_task "$app" --cgroup "/$POD/$app" "${notes[@]}" \
		--annotation io.kubernetes.cri.container-name=app
	check_spec default/shop-7d4f/app "$PID"
	check_spec shop-7d4f/app "$PID"
	[ "$(label a.json "$PID" container)" = app ]
	[ "$(label a.json "$PID" image)" = shop:3 ]
	"$VIZBPF" -q --container default/shop-7d4f -d 1 -o b.json
	[ "$(pids_in b.json | sort -n)" = "$(printf '%s\n' "$PID" "$side" | sort -n)" ]
	run "$VIZBPF" ps
	grep -E "^$PID .*default/shop-7d4f/app" <<<"$output"
}
