#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Engine trampoline: a child has a region of its parent's memory file, and there are 31 of them.

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
