#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Processes and threads are called what people call them.

load ../bats/helper

HERE=$BATS_TEST_DIRNAME

name_of() { # PID
	"$HERE/trace.py" a.json label "$1" name
}

pythons() {
	local one

	for one in "$HOME"/.pyenv/versions/3.*/bin/python3 /usr/bin/python3; do
		[ -x "$one" ] && echo "$one"
	done
}

# Starts names.py under $1 with pipes: TARGET, IN and FROM.
start_names() { # PYTHON [METHOD...]
	rm -f in out
	mkfifo in out
	"$1" "$HERE/names.py" "${@:2}" <>in >out 2>err 3>&- &
	TARGET=$!
	TARGETS="$TARGETS $TARGET"
	exec {FROM}<>out
	read -r -t 30 STARTED <&"$FROM"
}

@test "threads by the names that Python has for them, set before and late, on every version" {
	for python in $(pythons); do
		echo "$python"
		start_names "$python"
		start_vizbpf -q -p "$TARGET" -o a.json
		echo go >in
		read -r -t 30 line <&"$FROM"
		[ "$line" = named ]
		stop_vizbpf
		echo go >in
		wait "$TARGET"
		"$HERE/trace.py" a.json threads "$TARGET" | tee threads
		grep -qx 'worker-é' threads
		grep -qx 'named late' threads
	done
}

@test "threads that do not live long by their names, too" {
	need_root
	cat >brief.py <<-'EOF'
		import threading, time
		def work():
		    end = time.monotonic() + 0.04
		    while time.monotonic() < end:
		        time.sleep(0.001)
		for i in range(10):
		    thread = threading.Thread(target=work, name="brief-%d" % i)
		    thread.start()
		    thread.join()
	EOF
	for engine in eval trampoline; do
		"$VIZBPF" -q --engine $engine -o a.json -- "$PYTHON" brief.py
		jq -r '.traceEvents[] | select(.name == "thread_name").args.name' a.json | sort -u >named
		# looking ten times a second finds four of ten
		[ "$(grep -c '^brief-' named)" -ge 8 ]
	done
}

@test "children of multiprocessing by their names, and by the script they are part of" {
	for python in $(pythons); do
		echo "$python"
		start_names "$python" fork spawn forkserver
		[ "$(wc -w <<<"$STARTED")" -eq 3 ]
		pids=$(tr ' ' '\n' <<<"$STARTED" | cut -d= -f2 | paste -sd,)
		start_vizbpf -q -p "$TARGET,$pids" -o a.json
		stop_vizbpf
		echo go >in
		echo go >in
		wait "$TARGET"
		[ "$(name_of "$TARGET")" = "$(basename "$python") names.py" ]
		for one in $STARTED; do
			name_of "${one#*=}"
			[[ "$(name_of "${one#*=}")" == "${one%=*} ("* ]]
		done
	done
}

@test "a script by its name, not by its path" {
	mkdir -p deep/er
	echo 'print(1)' >deep/er/app.py
	run_vizbpf -q -o a.json -- "$PYTHON" -u "$WORK/deep/er/app.py" --option value
	[ "$status" -eq 0 ]
	pid=$("$HERE/trace.py" a.json processes | cut -d' ' -f1)
	[ "$(name_of "$pid")" = "python3 app.py" ]
	[ "$("$HERE/trace.py" a.json label "$pid" cmdline)" = "$PYTHON -u $WORK/deep/er/app.py --option value" ]
	jq -e '.traceEvents[] | select(.ph == "M" and .name == "process_name" and
		.args.name == "python3 app.py")' a.json
}

@test "a process title that was set later" {
	start_target '
import ctypes, sys
# what setproctitle does: one text over all arguments, and the rest cleared
libc = ctypes.CDLL(None)
with open("/proc/self/stat") as f:
    fields = f.read().rpartition(")")[2].split()
start, end = int(fields[45]), int(fields[46])
title = b"gunicorn: worker [shop]"
assert end - start > len(title)
print("ready", flush=True)
def work():
    return 1
sys.stdin.readline()
ctypes.memset(start, 0, end - start)
ctypes.memmove(start, title, len(title))
work()
print("titled", flush=True)
sys.stdin.readline()
' "$(printf '%0100d' 0)"
	start_vizbpf -q -p "$TARGET" -o a.json
	echo go >"$TARGET_IN"
	read -r -t 20 line <&"$TARGET_FD"
	[ "$line" = titled ]
	stop_vizbpf
	[ "$(name_of "$TARGET")" = "gunicorn: worker [shop]" ]
}

@test "a hostile name does no harm to the trace" {
	start_target "$BUSY" $'\033]0;owned\007\n"}],x' $'\xff\xfe'
	start_vizbpf -q -p "$TARGET" -o a.json
	stop_vizbpf
	valid_json a.json
	run "$VIZBPF" ps "$TARGET"
	[ "$status" -eq 0 ]
	[[ $output != *$'\033'* ]]
}
