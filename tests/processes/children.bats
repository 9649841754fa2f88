#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a traced program starts is traced too, by whatever way it starts it, and loses nothing.

load ../bats/helper

HERE=$BATS_TEST_DIRNAME
COUNT=40

another_python() {
	local one

	for one in "$HOME"/.pyenv/versions/3.{8,10,13}.*/bin/python3; do
		[ -x "$one" ] && echo "$one" && return
	done
	return 1
}

# Each line of $WORK/who is KIND PID PARENT as a child knew it: all of its calls are in the
# trace, and the trace knows its parent.
assert_all_recorded() { # TRACE [NUMBER OF CHILDREN]
	local kind pid parent want

	"$HERE/trace.py" "$1" calls marker >calls
	"$HERE/trace.py" "$1" processes >processes
	cat who calls processes messages
	[ -s who ]
	[ -z "${2:-}" ] || [ "$(wc -l <who)" -eq "$2" ]
	for pid in $(cut -d' ' -f2 who | sort -u); do
		want=$(($(grep -c "^[^ ]* $pid " who) * COUNT))
		grep -qx "$pid $want" calls
		grep -q "^$pid " processes
	done
	[ "$(cut -d' ' -f1 calls | sort -u | wc -l)" -eq "$(cut -d' ' -f2 who | sort -u | wc -l)" ]
	# nothing was lost by any of them
	[ -z "$(awk '$5 != 0' processes)" ]
}

assert_parents() { # TRACE
	local kind pid parent

	while read -r kind pid parent; do
		[ "$("$HERE/trace.py" "$1" label "$pid" parent)" = "$parent" ]
	done <who
}

launch_kind() { # KIND NUMBER [INTERPRETER]
	run_vizbpf -q -o a.json -- "$PYTHON" "$HERE/parent.py" "$1" "$WORK/who" "${@:3}"
	[ "$status" -eq 0 ]
	assert_all_recorded a.json "$2"
}

@test "fork" {
	launch_kind fork 1
	assert_parents a.json
}

@test "a fork that ends in os._exit" {
	launch_kind fork_exit 1
	assert_parents a.json
}

@test "a fork that is killed by SIGKILL" {
	launch_kind fork_kill 1
	assert_parents a.json
}

@test "a fork in a thread" {
	launch_kind fork_thread 1
	assert_parents a.json
}

@test "a fork in a fork" {
	launch_kind fork_fork 1
	assert_parents a.json
}

@test "a daemon that forks twice" {
	launch_kind daemon 1
}

@test "subprocess" {
	launch_kind subprocess 1
	assert_parents a.json
}

@test "a compound command of a shell" {
	launch_kind shell 1
}

@test "os.system" {
	launch_kind system 1
}

@test "/usr/bin/env python3" {
	PATH=/usr/bin:/bin launch_kind env 1
	assert_parents a.json
}

@test "os.spawnv" {
	launch_kind spawnv 1
	assert_parents a.json
}

@test "multiprocessing with fork" {
	launch_kind mp_fork 1
	assert_parents a.json
}

@test "multiprocessing with spawn" {
	launch_kind mp_spawn 1
	assert_parents a.json
}

@test "multiprocessing with forkserver" {
	launch_kind mp_forkserver 1
	assert_parents a.json
}

@test "concurrent.futures" {
	launch_kind pool 4
}

@test "an exec that replaces the interpreter by another version" {
	other=$(another_python) || skip "no second Python version"
	run_vizbpf -q -o a.json -- "$PYTHON" "$HERE/parent.py" exec_other "$WORK/who" "$other"
	[ "$status" -eq 0 ]
	assert_all_recorded a.json 2
	# one process, first the one version and then the other
	[ "$(cut -d' ' -f2 who | sort -u | wc -l)" -eq 1 ]
}

@test "the program itself becomes another interpreter" {
	other=$(another_python) || skip "no second Python version"
	run_vizbpf -q -o a.json -- "$PYTHON" "$HERE/parent.py" exec_self "$WORK/who" "$other"
	[ "$status" -eq 0 ]
	assert_all_recorded a.json 2
}

# Attaches to a parent of each kind, whose interpreter is $PYTHON_RUN, and lets it go.
attach_to_kinds() { # KIND...
	for kind in "$@"; do
		echo "$kind"
		WAIT_FOR_GO=1 start_target 'import sys, runpy
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")' "$HERE/parent.py" "$kind" "$WORK/who"
		start_vizbpf -q -p "$TARGET" -o a.json
		end_target
		wait "$TRACER"
		assert_all_recorded a.json
		rm who
	done
}

# A file that nobody else runs: the probes are for whoever runs it.
@test "children of a process that was attached to" {
	cp "$(readlink -f "$PYTHON")" python-own
	PYTHON_RUN=$WORK/python-own
	"$PYTHON_RUN" -c 'import json' || skip "the interpreter cannot be copied"
	attach_to_kinds fork subprocess mp_spawn shell
}

# The probes are for the process alone, and a child waits at its fork for its own.
@test "children of a process that was attached to, while others run its interpreter" {
	start_target "$BUSY"
	bystander=$TARGET
	attach_to_kinds fork fork_exit fork_kill fork_thread fork_fork daemon mp_fork pool \
		subprocess shell
	kill -0 "$bystander"
}

# Their parent is gone, and whoever has them now is none that a child stops under otherwise.
@test "orphans wait for their probes, too" {
	start_target "$BUSY"
	start_target '
import os, sys
def marker(i):
    return i
print("ready", flush=True)
sys.stdin.readline()
for k in range(20):
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.close(read)
        for i in range(40):
            marker(i)
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    os.read(read, 1)
'
	start_vizbpf -q -p "$TARGET" -o a.json
	end_target
	wait "$TRACER"
	"$HERE/trace.py" a.json calls marker | tee calls
	[ "$(grep -c ' 40$' calls)" -eq 20 ]
}

# A server's workers are there before anybody attaches to it.
FAMILY='
import os, sys
def marker(i):
    return i
def work(fd):
    os.read(fd, 1)
    for i in range(40):
        marker(i)
read, write = os.pipe()
child = os.fork()
if not child:
    inner = os.fork()
    work(read)
    if inner:
        os.waitpid(inner, 0)
    os._exit(0)
print("ready", flush=True)
sys.stdin.readline()
os.write(write, b"12")
os.waitpid(child, 0)
marker(0)
'

@test "children and their children that are there already" {
	start_target "$FAMILY"
	start_vizbpf -q -p "$TARGET" -o a.json
	end_target
	wait "$TRACER"
	"$HERE/trace.py" a.json calls marker | tee calls
	[ "$(grep -c ' 40$' calls)" -eq 2 ]
	grep -qx "$TARGET 1" calls
}

@test "--no-follow: not the children that are there already" {
	start_target "$FAMILY"
	start_vizbpf -q -p "$TARGET" --no-follow -o a.json
	end_target
	wait "$TRACER"
	[ "$("$HERE/trace.py" a.json calls marker)" = "$TARGET 1" ]
}

@test "a child that only executes something else is no Python process" {
	for kind in shell system fork_exec; do
		launch_kind "$kind" 1
		[ "$(wc -l <processes)" -eq 2 ]
		refute grep -E ' (sh|dash|bash|true)( |$)' processes
		rm who
	done
}

@test "a child that ran Python before it executed something else is called as it was then" {
	launch_kind fork_true 1
	[ "$(wc -l <processes)" -eq 3 ]
	[ "$(grep -c ' python3 parent.py$' processes)" -eq 3 ]
}

# Nobody reads while calls fill the ring; births are told all the same.
@test "children that are forked while the ring is full are there, and their losses too" {
	cp "$(readlink -f "$PYTHON")" python-own
	PYTHON_RUN=$WORK/python-own
	"$PYTHON_RUN" -c 'import json' || skip "the interpreter cannot be copied"
	start_target '
import os, sys
def marker(i):
    return i
print("ready", flush=True)
sys.stdin.readline()
for i in range(2000):
    marker(i)
for k in range(5):
    pid = os.fork()
    if not pid:
        for i in range(40):
            marker(i)
        os._exit(0)
    os.waitpid(pid, 0)
'
	start_vizbpf -q --engine eval -p "$TARGET" -o a.json --ring-size 4K
	kill -STOP "$TRACER"
	end_target
	kill -CONT "$TRACER"
	wait "$TRACER"
	"$HERE/trace.py" a.json processes >processes
	cat processes
	[ "$(awk -v parent="$TARGET" '$2 == parent && $5 >= 40' processes | wc -l)" -eq 5 ]
	run jq '.vizbpf_metadata | .calls + .lost >= 2200' a.json
	[ "$output" = true ]
}

# More threads end than the ring of births and ends has room for.
@test "a child whose birth could not be told is found" {
	cp "$(readlink -f "$PYTHON")" python-own
	PYTHON_RUN=$WORK/python-own
	"$PYTHON_RUN" -c 'import json' || skip "the interpreter cannot be copied"
	start_target '
import _thread, os, sys, time
def marker(i):
    return i
print("ready", flush=True)
sys.stdin.readline()
left = 20000
while left:
    try:
        _thread.start_new_thread(time.sleep, (0,))
        left -= 1
    except RuntimeError:
        time.sleep(0.01)
pid = os.fork()
if not pid:
    for i in range(40):
        marker(i)
    print("worked", flush=True)
    sys.stdin.readline()
    os._exit(0)
os.waitpid(pid, 0)
'
	start_vizbpf -q --engine eval -p "$TARGET" -o a.json
	kill -STOP "$TRACER"
	echo go >"$TARGET_IN"
	read -r -t 60 line <&"$TARGET_FD"
	[ "$line" = worked ]
	kill -CONT "$TRACER"
	end_target
	wait "$TRACER"
	"$HERE/trace.py" a.json processes >processes
	cat processes
	"$HERE/trace.py" a.json calls marker | grep -qx "[0-9]* 40"
}

# vizbpf learns of the fork when the child is another program already.
@test "a child that has executed a program before its fork was seen comes to no harm" {
	for engine in eval trampoline; do
		start_target '
import os, random, sys, time # random has something to do after a fork
def marker(i):
    return i
print("ready", flush=True)
sys.stdin.readline()
end = time.monotonic() + 1
while time.monotonic() < end:
    marker(0)
print("works", flush=True)
sys.stdin.readline()
code = """if 1:
    def marker(i):
        return i
    for i in range(40):
        marker(i)
"""
sys.exit(os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) != 0)
'
		start_vizbpf -q --engine "$engine" -p "$TARGET" -o a.json
		echo go >"$TARGET_IN"
		read -r -t 30 line <&"$TARGET_FD"
		[ "$line" = works ]
		kill -STOP "$TRACER"
		echo go >"$TARGET_IN"
		for _ in $(seq 200); do # not longer than the guardian waits
			child=$(pgrep -P "$TARGET") || continue
			grep -q '^State:.T' "/proc/$child/status" && break
		done
		kill -CONT "$TRACER"
		status=0
		wait "$TARGET" || status=$?
		wait "$TRACER"
		cat messages
		[ "$status" -eq 0 ]
		[ "$("$HERE/trace.py" a.json calls marker | grep -c ' 40$')" -eq 1 ]
	done
}

@test "--no-follow records the process alone" {
	run_vizbpf -q --no-follow -o a.json -- "$PYTHON" "$HERE/parent.py" fork "$WORK/who"
	[ "$status" -eq 0 ]
	[ -s who ]
	[ -z "$("$HERE/trace.py" a.json calls marker)" ]
	[ -n "$("$HERE/trace.py" a.json calls fork)" ]
	[ "$("$HERE/trace.py" a.json processes | wc -l)" -eq 1 ]
}
