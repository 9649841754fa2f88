#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Which calls are recorded, and when: the filters, the flight recorder, triggers and the switch.

load helper

# top -> add (3) -> leaf (6), item (3) -> slow (3, of 50 ms); top -> json.dumps; a thread: ring (4).
make_program() {
	mkdir -p shop
	cat >shop/cart.py <<-'PYTHON'
		import time
		def leaf():
		    pass
		def slow():
		    time.sleep(0.05)
		class Item:
		    def item(self):
		        slow()
		def add():
		    leaf()
		    leaf()
		    Item().item()
	PYTHON
	: >shop/__init__.py
	cat >program.py <<-'PYTHON'
		import json, threading
		from shop import cart
		def top():
		    for _ in range(3):
		        cart.add()
		    json.dumps({}, indent=1)
		def ring():
		    pass
		def bell():
		    for _ in range(4):
		        ring()
		top()
		thread = threading.Thread(target=bell, name="bell-1")
		thread.start()
		thread.join()
	PYTHON
}

# The counts of the program's functions, and whether others of the standard library are there.
record() { # OPTION...
	"$VIZBPF" -q -o out.json "$@" -- "$PYTHON" program.py
	"$PYTHON" - <<'PYTHON'
import collections, json
calls = [e["name"] for e in json.load(open("out.json"))["traceEvents"] if e["ph"] == "X"]
count = collections.Counter(name.split(" (")[0] for name in calls)
own = ["%s%d" % (name, count[name]) for name in
       ("top", "add", "leaf", "Item.item", "slow", "bell", "ring") if count[name]]
own += ["std"] * any("/json/__init__.py" in name for name in calls)
own += ["frozen"] * any("(<frozen " in name for name in calls)
print(" ".join(own))
PYTHON
}

@test "filters: what is left out, and what below it" {
	need_root
	make_program
	wrong=
	set -f # the patterns are not the shell's
	all="top1 add3 leaf6 Item.item3 slow3 bell1 ring4 std frozen"
	while IFS='|' read -r options want; do
		# shellcheck disable=SC2086
		got=$(record --include-startup ${options//HERE/$PWD})
		echo "$options: $got"
		[ "$got" = "${want:-$all}" ] || wrong=yes
	done <<-END
		|
		--min-duration 40ms --no-stdlib|top1 add3 Item.item3 slow3
		--max-stack-depth 3 --no-stdlib|top1 add3 bell1 ring4
		--exclude-functions add --no-stdlib|top1 bell1 ring4
		--exclude-functions add --keep-callees --no-stdlib|top1 leaf6 Item.item3 slow3 bell1 ring4
		--exclude_functions Item.* --exclude-functions bell --no-stdlib|top1 add3 leaf6
		--include-functions leaf|leaf6
		--include-functions Item.* --include-functions r?ng|Item.item3 ring4
		--include-files HERE/shop --keep-callees|add3 leaf6 Item.item3 slow3
		--include_files HERE/*.py|top1 add3 leaf6 Item.item3 slow3
		--include-files HERE/program.py|top1
		--include-files shop --keep-callees|add3 leaf6 Item.item3 slow3
		--include-files ./program.py|top1
		--exclude-files shop/nothing.py --exclude-files ./shop/cart.py --no-stdlib|top1 bell1 ring4
		--include_files HERE/*.py --keep_callees|top1 add3 leaf6 Item.item3 slow3 bell1 ring4
		--exclude-files HERE/shop --no-stdlib|top1 bell1 ring4
		--exclude-files HERE/sho --no-stdlib|top1 add3 leaf6 Item.item3 slow3 bell1 ring4
		--only-package shop|add3 leaf6 Item.item3 slow3
		--stdlib|std frozen
		--ignore-frozen|top1 add3 leaf6 Item.item3 slow3 bell1 ring4 std
	END
	set +f
	[ -z "$wrong" ]
}

@test "filters: when they leave nothing, why is said" {
	need_root
	make_program
	run_vizbpf -o out.json --include-files "$PWD/shop" -- "$PYTHON" program.py
	[ "$status" -eq 0 ]
	assert_contains "$errors" "--keep-callees"
}

# Calls of two threads, of which one is busy, until told to end.
TWO_THREADS='
import sys, threading, time
def busy(): pass
def quiet(): time.sleep(0.02)
def slow(): time.sleep(0.06)
def bad(): raise ValueError
def rare(stop):
    while not stop.wait(0.05):
        quiet()
stop = threading.Event()
threading.Thread(target=rare, args=(stop,), name="rare").start()
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(2000):
        busy()
    if line == "slow\n":
        slow()
    elif line == "bad\n":
        try:
            bad()
        except ValueError:
            pass
    elif line == "go\n":
        break
    print("done", flush=True)
stop.set()
'

tell() { # LINE...
	local line answer

	for line; do
		echo "$line" >"$TARGET_IN"
		read -r -t 20 answer <&"$TARGET_FD" && [ "$answer" = done ] || return 1
	done
}

# Waits until a file is there and whole.
wait_for() { # FILE
	local i

	for i in $(seq 200); do
		[ -e "$1" ] && valid_json "$1" && return 0
		read -r -t 0.1 _ <>"$WORK/never" || true
	done
	return 1
}

@test "filters: --threads goes by the names that Python gives, and by tid" {
	need_root
	start_target "$TWO_THREADS"
	start_vizbpf -p "$TARGET" --threads 'rar*' -o out.json
	tell a a slow slow slow
	stop_vizbpf
	[ "$(calls_of out.json quiet)" -ge 1 ]
	[ "$(calls_of out.json busy)" = 0 ]
	start_vizbpf -p "$TARGET" --threads "$TARGET" -o out.json
	tell slow slow
	stop_vizbpf
	end_target
	[ "$(calls_of out.json quiet)" = 0 ]
	[ "$(calls_of out.json slow)" = 2 ]
}

@test "--tracer-entries: the last calls of each thread; a snapshot at SIGUSR1, and on it goes" {
	need_root
	mkfifo never
	start_target "$TWO_THREADS"
	start_vizbpf -p "$TARGET" --tracer-entries 100 -o out.json
	tell a a a slow a
	kill -USR1 "$TRACER"
	wait_for out-1.json
	[ "$(calls_of out-1.json busy)" -le 100 ]
	[ "$(calls_of out-1.json busy)" -ge 90 ]
	[ "$(calls_of out-1.json quiet)" -ge 1 ]
	tell a
	stop_vizbpf
	end_target
	[ "$(calls_of out.json busy)" -le 100 ]
	[ "$(calls_of out.json quiet)" -ge 1 ]
	[ ! -e out-2.json ]
}

@test "--trigger: a call that took too long, or raised, writes what came before it" {
	need_root
	mkfifo never
	start_target "$TWO_THREADS"
	start_vizbpf -p "$TARGET" --trigger 'slow>50ms' --trigger 'bad raises' --before 2s --after 50ms \
		-o out.json
	tell a slow
	wait_for out-1.json
	[ "$(calls_of out-1.json slow)" = 1 ]
	[ "$(calls_of out-1.json busy)" -gt 1000 ]
	tell bad
	wait_for out-2.json
	jq -e '.traceEvents[] | select(.name | startswith("bad (")) | .args.raised' out-2.json
	stop_vizbpf
	end_target
	grep -q 'out-1.json written: slow took' messages
	grep -q 'out-2.json written: bad took .* and raised' messages
	[ ! -e out-3.json ]
}

wait_said() { # TEXT
	local i

	for i in $(seq 200); do
		grep -q "$1" messages && return 0
		read -r -t 0.1 _ <>"$WORK/never" || true
	done
	return 1
}

@test "--start-paused: nothing until SIGUSR2, which switches on and off" {
	need_root
	mkfifo never
	start_target "$TWO_THREADS"
	start_vizbpf -p "$TARGET" --start-paused -o out.json
	tell slow
	kill -USR2 "$TRACER"
	wait_said "recording goes on"
	tell a a a
	kill -USR2 "$TRACER"
	wait_said "recording is paused"
	tell slow
	stop_vizbpf
	end_target
	[ "$(calls_of out.json slow)" = 0 ]
	# what waited in the ring at the switch is left out
	[ "$(calls_of out.json busy)" -ge 1 ]
	[ "$(calls_of out.json busy)" -le 6000 ]
}

@test "--min-duration of a program that is started: its own code ends last" {
	need_root
	cat >program.py <<'END'
import time
def middling(): time.sleep(0.05)
def quick(): pass
quick(); middling(); time.sleep(0.5)
END
	run_vizbpf -q --engine eval --min-duration 20ms -o out.json -- "$PYTHON" program.py
	[ "$(calls_of out.json middling)" = 1 ]
	[ "$(calls_of out.json '<module>')" = 1 ]
	[ "$(calls_of out.json quick)" = 0 ]
	[ "$(calls_of out.json _find_and_load)" = 0 ]
}
