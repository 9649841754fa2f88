#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Engine trampoline: a child has a region of its parent's memory file, and there are 255 of them.

load helper

FORKS='
import os, sys, time
def f(): pass
def child(ends):
    for _ in range(20): f()
    if ends: os._exit(0)
    os.execv("/bin/true", ["true"])
print("ready", flush=True)
sys.stdin.readline()
for i in range(300):
    pid = os.fork()
    if not pid: child(i % 4)
    os.waitpid(pid, 0)
    time.sleep(0.002) # not more than 255 while vizbpf waits for a processor
print("done", flush=True)
sys.stdin.readline()
'

@test "one child after another, more than there are regions" {
	start_target "$FORKS"
	start_vizbpf --engine trampoline -p "$TARGET" -o out.json
	echo go >"$TARGET_IN"
	read -r -t 60 line <&"$TARGET_FD"
	[ "$line" = "done" ]
	stop_vizbpf
	run calls_of out.json f
	echo "calls of f: $output"
	[ "$output" = 6000 ]
	run jq '[.traceEvents[] | select(.ph == "X" and (.name | startswith("f ("))).pid] |
		unique | length' out.json
	[ "$output" = 300 ]
}

CROWD='
import os, sys
def f(): pass
print("ready", flush=True)
for line in sys.stdin:
    here, there = os.pipe()
    wait, release = os.pipe()
    for i in range(int(line)):
        if not os.fork():
            os.close(release)
            for _ in range(20): f()
            os.write(there, b".")
            os.read(wait, 1)
            os._exit(0)
    os.close(wait)
    for i in range(int(line)):
        os.read(here, 1)
    os.close(release)
    for i in range(int(line)):
        os.wait()
    print("done", flush=True)
'

@test "a limit of file sizes admits fewer regions, or none" {
	for limit in 1000000 100000; do
		ulimit -S -f $limit
		start_target "$CROWD"
		ulimit -S -f unlimited
		start_vizbpf -p "$TARGET" -o out.json
		echo 40 >"$TARGET_IN"
		read -r -t 60 line <&"$TARGET_FD"
		[ "$line" = "done" ]
		stop_vizbpf
		run calls_of out.json f
		[ "$output" = 800 ]
		jq -r ".vizbpf_metadata.processes[0] | .engine, .engine_why" out.json >>engines
	done
	cat engines
	[ "$(sed -n 1p engines)" = trampoline ]
	[ "$(sed -n 3p engines)" = usdt ] || [ "$(sed -n 3p engines)" = eval ]
	sed -n 4p engines | grep "its limit of file sizes"
}

@test "the summary names processes that have ended, in the order in which they began" {
	for engine in trampoline eval; do
		rm -f out.json
		run_vizbpf --engine "$engine" -o out.json -- "$PYTHON" -c '
import os, time
def f(): pass
def child():
    for _ in range(20): f()
    time.sleep(0.05) # so that most have been forgotten at the end
for _ in range(20):
    if not os.fork():
        child()
        os._exit(0)
    os.wait()
f()'
		[ "$status" = 0 ]
		pids=$(grep -o '^  pid [0-9]* (' <<<"$errors" | tr -dc '0-9\n')
		[ "$(wc -l <<<"$pids")" = 16 ]
		# after pid_max numbers begin anew, once
		awk '$1 < last { less++ } { last = $1 } END { exit less > 1 }' <<<"$pids"
		grep -q '^  and 5 processes more$' <<<"$errors"
	done
}
