#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What containers are made of, without an engine: user, mount and pid namespaces, another root, an
# overlay, and files that are deleted or replaced under a running interpreter. Both ways of seeing
# calls: probes in the file, and the recorder in the process.

load ../bats/helper
load helper

# Makes 50 calls each time it is asked to, and is idle between.
ANSWER='
import sys
def leaf(n):
    return n + 1
def work():
    return sum(leaf(n) for n in range(50))
print("ready", flush=True)
for line in sys.stdin:
    work()
    print("done", flush=True)
'

setup_file() {
	need_root
}

# A command to start the target with: its words, and then python's arguments.
# Sets PYTHON_RUN.
start_by() { # WORD...
	PYTHON_RUN=$WORK/start
	printf '#!/bin/sh\nexec %s "$@"\n' "$*" >"$PYTHON_RUN"
	chmod 755 "$PYTHON_RUN"
}

# The process that unshare --fork made; what runs in it is python by the time it has said ready.
inner() {
	pgrep -P "$TARGET"
}

need_trixie() {
	[ -d "$ROOTS/trixie/usr/bin" ] || skip "no root trixie (tests/roots/make trixie)"
}

# An overlay of the root trixie, at $WORK/merged.
make_overlay() {
	need_trixie
	mkdir upper work merged
	mount -t overlay overlay merged \
		-o "lowerdir=$ROOTS/trixie,upperdir=$WORK/upper,workdir=$WORK/work" ||
		skip "overlayfs cannot be mounted here"
	MOUNTS=$WORK/merged
}

ask() {
	local line

	echo go >"$TARGET_IN"
	read -r -t 30 line <&"$TARGET_FD" && [ "$line" = "done" ]
}

# Records the process with each engine while it works once, and expects every call.
check_engines() { # PID ENGINE...
	local pid=$1 engine

	shift
	for engine; do
		start_vizbpf -q --engine "$engine" -p "$pid" -o "$engine.json"
		ask
		stop_vizbpf
		[ "$(pids_in "$engine.json")" = "$pid" ] || return 1
		[ "$(calls_of "$engine.json" leaf)" = 50 ] || return 1
		[ "$(label "$engine.json" "$pid" engine)" = "$engine" ] || return 1
		[ "$(label "$engine.json" "$pid" lost)" = 0 ] || return 1
	done
}

@test "user, mount and pid namespaces of its own" {
	unshare -U -r true || skip "user namespaces cannot be made here"
	start_by unshare -U -r -m -p --fork --mount-proc --kill-child "$PYTHON"
	start_target "$ANSWER"
	check_engines "$(inner)" eval trampoline
	[ "$(label eval.json "$(inner)" ns_pid)" = 1 ]
	[ "$(label trampoline.json "$(inner)" ns_pid)" = 1 ]
}

@test "a user namespace that maps root to somebody without rights" {
	unshare -U -r true || skip "user namespaces cannot be made here"
	start_by setpriv --reuid 4321 --regid 4321 --clear-groups unshare -U -r -m -p --fork \
		--kill-child "$PYTHON"
	start_target "$ANSWER" || skip "an ordinary user cannot make namespaces here"
	check_engines "$(inner)" eval trampoline
}

@test "a process that is started in namespaces of its own is followed there" {
	unshare -U -r true || skip "user namespaces cannot be made here"
	# Below a shell: it is known to take no notice of a child that waits for its probes.
	run_vizbpf -q -o a.json -- unshare -U -r -m -p --fork --mount-proc sh -c '"$0" -c "$1"; true' \
		"$PYTHON" '
def marker(): pass
for i in range(9): marker()'
	[ "$status" -eq 0 ]
	[ "$("$HERE/../processes/trace.py" a.json calls marker | cut -d' ' -f2)" = 9 ]
}

@test "an interpreter that exists only in another root, in a mount namespace of its own" {
	need_trixie
	start_by unshare -m -p --fork --kill-child chroot "$ROOTS/trixie" /usr/bin/python3
	start_target "$ANSWER"
	check_engines "$(inner)" eval trampoline
	[[ "$(label eval.json "$(inner)" python)" == 3.13.* ]]
}

@test "an overlay" {
	make_overlay
	start_by chroot "$WORK/merged" /usr/bin/python3
	start_target "$ANSWER"
	check_engines "$TARGET" eval trampoline
}

@test "an overlay in which an upgrade has replaced the running interpreter" {
	make_overlay
	start_by chroot "$WORK/merged" /usr/bin/python3
	start_target "$ANSWER"
	# What dpkg does: a second name for the old file, for which overlayfs copies it.
	old=$(readlink -f merged/usr/bin/python3.13)
	ln "$old" "$old.dpkg-tmp"
	cp "$old.dpkg-tmp" "$old.dpkg-new"
	mv "$old.dpkg-new" "$old"
	rm "$old.dpkg-tmp"
	# Probes would sit in the copy, and record nothing at all.
	run_vizbpf --engine eval -p "$TARGET" -d 1 -o a.json
	assert_refused
	assert_contains "$errors" overlayfs
	[ ! -e a.json ]
	check_engines "$TARGET" trampoline
}

@test "an interpreter whose file was deleted" {
	cp "$(readlink -f "$PYTHON")" python3
	PYTHON_RUN=$WORK/python3
	start_target "$ANSWER"
	rm python3
	[[ "$(readlink "/proc/$TARGET/exe")" == *" (deleted)" ]]
	check_engines "$TARGET" eval trampoline
}

@test "an interpreter whose file was replaced by that of another version" {
	need_trixie
	cp "$(readlink -f "$PYTHON")" python3
	PYTHON_RUN=$WORK/python3
	start_target "$ANSWER"
	cp "$ROOTS/trixie/usr/bin/python3.13" new
	mv new python3
	check_engines "$TARGET" eval trampoline
	running=$("$PYTHON" -c 'import platform; print(platform.python_version())')
	[ "$(label eval.json "$TARGET" python)" = "$running" ]
	[ "$(label trampoline.json "$TARGET" python)" = "$running" ]
}
