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

# A file of its own: where others run the same one, the probes are for the named process alone and
# a child is attached to when it is seen.
@test "children of a process that was attached to" {
	cp "$(readlink -f "$PYTHON")" python-own
	PYTHON_RUN=$WORK/python-own
	"$PYTHON_RUN" -c 'import json' || skip "the interpreter cannot be copied"
	for kind in fork subprocess mp_spawn shell; do
		WAIT_FOR_GO=1 start_target 'import sys, runpy
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")' "$HERE/parent.py" "$kind" "$WORK/who"
		start_vizbpf -q -p "$TARGET" -o a.json
		end_target
		wait "$TRACER"
		assert_all_recorded a.json 1
		rm who
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
