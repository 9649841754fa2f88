#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Engine trampoline with a reader that is late: its output is a pipe that nobody reads until all
# calls have been made. What waits is on disk; what finds no room there is lost, and counted by
# thread.

load helper

# Two threads in turns; each says in the end how often it called f.
LOUD='
import sys, threading, time
def f(): pass
turn = [threading.Semaphore(1), threading.Semaphore(0)]
def thread(n, rounds, calls, pause):
    for _ in range(rounds):
        turn[n].acquire()
        for _ in range(calls): f()
        time.sleep(pause)
        turn[1 - n].release()
def main():
    rounds, calls, pause = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    threads = [threading.Thread(target=thread, args=(n, rounds, calls, pause)) for n in (0, 1)]
    for t in threads: t.start()
    for t in threads: t.join()
    print(*[t.native_id for t in threads], rounds * calls, flush=True)
print("ready", flush=True)
sys.stdin.readline()
main()
sys.stdin.readline()
'

# Reads the trace; prints for each thread named: calls of f, calls lost, whether its calls are in
# the order of time; then what was lost in all, and how many of that the threads have.
LOOK='
import json, sys
trace = json.load(open(sys.argv[1]))
calls, lost, last, ordered = {}, {}, {}, {}
for e in trace["traceEvents"]:
    tid = e.get("tid")
    if e["ph"] == "X" and e["name"].startswith("f ("):
        calls[tid] = calls.get(tid, 0) + 1
        ordered[tid] = ordered.get(tid, True) and e["ts"] >= last.get(tid, 0)
        last[tid] = e["ts"]
    elif e["name"] == "vizbpf: calls lost":
        lost[tid] = lost.get(tid, 0) + e["args"]["calls"]
for tid in map(int, sys.argv[2:]):
    print(calls.get(tid, 0), lost.get(tid, 0), ordered.get(tid, True))
print(trace["vizbpf_metadata"]["lost"], sum(lost.values()))
'

# Sets threads, made (by each), looked (the lines of LOOK).
record() { # ROUNDS CALLS PAUSE OPTION...
	local first second reader
	start_target "$LOUD" "$1" "$2" "$3"
	shift 3
	mkfifo pipe ready
	env --default-signal=INT "$VIZBPF" --engine trampoline -p "$TARGET" -o - "$@" --ready-fd 9 \
		>pipe 9>ready 2>messages 3>&- &
	TRACER=$!
	TRACERS="$TRACERS $TRACER"
	exec 8<pipe
	read -r -N 1 -t 30 _ <ready
	echo go >"$TARGET_IN"
	read -r -t 60 first second made <&"$TARGET_FD"
	threads=("$first" "$second")
	cat <&8 >out.json 3>&- &
	reader=$!
	exec 8<&-
	stop_vizbpf
	wait "$reader"
	mapfile -t looked < <("$PYTHON" -c "$LOOK" out.json "${threads[@]}")
	printf '%s\n' "made $made" "${looked[@]}"
	cat messages
}

@test "a reader that is late loses nothing" {
	record 20 20000 0.005 --ring-size 4M
	[ "$made" = 400000 ]
	[ "${looked[0]}" = "400000 0 True" ]
	[ "${looked[1]}" = "400000 0 True" ]
	[ "${looked[2]}" = "0 0" ]
}

@test "what finds no room on a full disk is counted by thread" {
	need_root
	mkdir small
	mount -t tmpfs -o size=1m small small
	# shellcheck disable=SC2034 # taken away by the helper's teardown
	MOUNTS="$WORK/small"
	export TMPDIR=$WORK/small
	record 20 20000 0 --ring-size 1M
	for line in "${looked[@]:0:2}"; do
		read -r calls lost _ <<<"$line"
		# what threading itself calls in these turns is among the lost
		[ "$((calls + lost))" -ge "$made" ]
		[ "$((calls + lost))" -lt "$((made + 2000))" ]
		[ "$calls" -gt 1000 ]
	done
	read -r lost by_thread <<<"${looked[2]}"
	[ "$lost" -gt 100000 ]
	[ "$lost" = "$by_thread" ]
	assert_contains "$(cat messages)" "no room for a backlog"
}

# Runs the code under vizbpf, whose output is a pipe that is read when the code says "done", and
# ends. Then the trace is read to its end.
record_to_the_end() { # CODE
	local line

	start_target "$1"
	mkfifo pipe ready
	env --default-signal=INT "$VIZBPF" -q --engine trampoline -p "$TARGET" -o - --ring-size 4M \
		--ready-fd 9 >pipe 9>ready 3>&- &
	TRACER=$!
	TRACERS="$TRACERS $TRACER"
	exec 8<pipe
	read -r -N 1 -t 30 _ <ready
	echo go >"$TARGET_IN"
	read -r -t 60 line <&"$TARGET_FD"
	[ "$line" = "${2:-done}" ]
	wait "$TARGET" || true
	cat <&8 >out.json
	exec 8<&-
	wait "$TRACER"
}

# f's calls, those without an end of their own, and the lanes they are on.
F='[.traceEvents[] | select(.ph == "X" and (.name | startswith("f (")))] |
	[length, ([.[] | select(.args != null)] | length), ([.[].tid] | unique | length)]'

@test "threads and the process end while their calls wait" {
	record_to_the_end '
import sys, threading, time
def f(): pass
def thread():
    for _ in range(10):
        for _ in range(4000): f()
        time.sleep(0.002)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(5):
    t = threading.Thread(target=thread)
    t.start()
    t.join()
print("done", flush=True)
'
	run jq -c "$F" out.json
	[ "$output" = "[200000,0,5]" ]
	# each thread has one lane, and a name
	run jq '[.traceEvents[] | select(.name == "thread_name").tid] | unique | length' out.json
	[ "$output" = 6 ]
}

@test "a process is killed while its calls wait" {
	record_to_the_end '
import os, sys, time
def f(): pass
def g():
    for _ in range(50):
        for _ in range(4000): f()
        time.sleep(0.002)
    print("done", flush=True)
    os.kill(os.getpid(), 9)
print("ready", flush=True)
sys.stdin.readline()
g()
'
	run jq -c "$F" out.json
	[ "$output" = "[200000,0,1]" ]
	run jq '[.traceEvents[] | select(.ph == "X" and (.name | startswith("g (")) and
		.args.unfinished)] | length' out.json
	[ "$output" = 1 ]
}

@test "a process becomes another program while its calls wait" {
	record_to_the_end '
import os, sys, time
def f(): pass
print("ready", flush=True)
sys.stdin.readline()
for _ in range(100):
    for _ in range(4000): f()
    time.sleep(0.002)
os.execv("/bin/echo", ["echo", "done"])
'
	run jq -c "$F" out.json
	[ "$output" = "[400000,0,1]" ]
}
