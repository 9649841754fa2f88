#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Starting a program: what is its own stays its own, and its first call is in the trace.

load ../bats/helper

HERE=$BATS_TEST_DIRNAME

script() { # NAME <<CODE
	cat >"$1"
}

@test "a script gets its arguments, its standard files and its working directory" {
	script show.py <<'END'
import os, sys
print(sys.argv, os.getcwd() == os.environ["WORK"], sys.stdin.read().strip())
print("to stderr", file=sys.stderr)
END
	WORK=$WORK "$VIZBPF" -q -o a.json show.py a "b c" --option <<<"from stdin" >out 2>err 3>&-
	[ "$(cat out)" = "['show.py', 'a', 'b c', '--option'] True from stdin" ]
	grep -qx "to stderr" err
	valid_json a.json
}

@test "a module with -m" {
	mkdir pkg
	script pkg/__main__.py <<'END'
import sys
def work():
    return __name__, __package__, sys.argv[1:]
print(*work())
END
	run_vizbpf -q -o a.json -m pkg one --two
	[ "$status" -eq 0 ]
	[ "$output" = "__main__ pkg ['one', '--two']" ]
	[ "$(calls_of a.json work)" -eq 1 ]
}

@test "a command, with and without --" {
	for dashes in "" --; do
		run_vizbpf -q -o a.json $dashes "$PYTHON" -c 'def f(): pass
f()'
		[ "$status" -eq 0 ]
		[ "$(calls_of a.json f)" -eq 1 ]
	done
}

@test "the first call of the program's own code is recorded, the start of the interpreter is not" {
	script first.py <<'END'
def first():
    return second()
def second():
    return 1
first()
END
	run_vizbpf -q -o a.json -- "$PYTHON" first.py
	[ "$status" -eq 0 ]
	[ "$(calls_of a.json first)" -eq 1 ]
	[ "$(calls_of a.json second)" -eq 1 ]
	[ "$("$HERE/trace.py" a.json first "$("$HERE/trace.py" a.json processes | cut -d' ' -f1)")" \
		= "<module>" ]
	without=$(jq '.traceEvents | length' a.json)
	run_vizbpf -q --include-startup -o b.json -- "$PYTHON" first.py
	[ "$status" -eq 0 ]
	[ "$(calls_of b.json first)" -eq 1 ]
	[ "$(jq '.traceEvents | length' b.json)" -gt $((without + 50)) ]
}

@test "the exit status is the program's" {
	for code in 0 1 42 255; do
		run_vizbpf -q -o a.json -- "$PYTHON" -c "raise SystemExit($code)"
		[ "$status" -eq "$code" ]
		valid_json a.json
	done
}

@test "death by a signal is passed on as one" {
	for name in KILL TERM SEGV ABRT; do
		run "$PYTHON" -c '
import subprocess, sys
print(subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL).returncode)' \
			"$VIZBPF" -q -o a.json -- "$PYTHON" -c "
import os, signal
os.kill(os.getpid(), signal.SIG$name)"
		[ "$output" = "-$(kill -l $name)" ]
		valid_json a.json
	done
}

@test "a program that does not exist, or cannot be run, is said so" {
	run_vizbpf -q -o a.json -- "$WORK/no-such-program"
	[ "$status" -eq 127 ]
	assert_contains "$errors" no-such-program
	touch plain
	run_vizbpf -q -o a.json -- /etc/passwd
	assert_failed
}

@test "no descriptor of vizbpf is open in the program" {
	run "$VIZBPF" -q -o a.json -- "$PYTHON" -c 'import os; print(sorted(os.listdir("/proc/self/fd")))' 3>&-
	alone=$("$PYTHON" -c 'import os; print(sorted(os.listdir("/proc/self/fd")))' 3>&- </dev/null)
	echo "$output / $alone"
	[ "$(tr , '\n' <<<"$output" | wc -l)" -le "$(tr , '\n' <<<"$alone" | wc -l)" ]
}

@test "signals that vizbpf gets alone go to the program" {
	script wait.py <<'END'
import signal, sys, time
def term(number, frame):
    print("terminated once", flush=True)
    sys.exit(9)
signal.signal(signal.SIGTERM, term)
print("ready", flush=True)
while True:
    time.sleep(0.1) # a signal that comes before pause() would be waited for in vain
END
	mkfifo out
	"$VIZBPF" -q -o a.json -- "$PYTHON" wait.py >out 2>messages 3>&- &
	TRACER=$!
	TRACERS=$TRACER
	exec {from}<out
	read -r -t 30 line <&"$from"
	[ "$line" = ready ]
	kill -TERM "$TRACER"
	read -r -t 30 line <&"$from"
	[ "$line" = "terminated once" ]
	status=0
	wait "$TRACER" || status=$?
	[ "$status" -eq 9 ]
	valid_json a.json
	[ "$(calls_of a.json term)" -eq 1 ]
}

@test "a Ctrl-C at the terminal reaches the program once, and the trace is written" {
	script wait.py <<'END'
import signal, sys, time
count = 0
def interrupted(number, frame):
    global count
    count += 1
signal.signal(signal.SIGINT, interrupted)
print("rea" + "dy", flush=True)
while not count:
    time.sleep(0.01)
time.sleep(0.5)  # a second one would come now
print("interrupted %d" % count, flush=True)
sys.exit(5)
END
	status=0
	"$HERE/terminal.py" ready INT "$VIZBPF" -q -o a.json -- "$PYTHON" wait.py >out 2>err 3>&- || status=$?
	cat out err
	[ "$status" -eq 5 ]
	grep -q "interrupted 1" out
	valid_json a.json
	[ "$(calls_of a.json interrupted)" -eq 1 ]
}

@test "a Ctrl-C that ends the program ends it as it would alone" {
	script wait.py <<'END'
import time
def work():
    time.sleep(0.01)
work()
print("rea" + "dy", flush=True)
while True:
    work()
END
	run "$HERE/terminal.py" ready INT "$VIZBPF" -q -o a.json -- "$PYTHON" wait.py
	# Python ends by SIGINT after a KeyboardInterrupt
	[ "$status" -eq 130 ]
	assert_contains "$output" KeyboardInterrupt
	valid_json a.json
	[ "$(calls_of a.json work)" -gt 0 ]
}

@test "under sudo the program runs as the invoking user" {
	need_root
	id nobody >/dev/null || skip "no user nobody"
	chmod 755 .
	script who.py <<'END'
import os
print(os.getuid(), os.geteuid(), os.getgid(), os.getgroups(), os.environ.get("HOME"),
      os.environ.get("USER"), os.environ.get("SUDO_UID"))
END
	uid=$(id -u nobody)
	gid=$(id -g nobody)
	export SUDO_UID=$uid SUDO_GID=$gid SUDO_USER=nobody
	run_vizbpf -q -o a.json -- "$PYTHON" who.py
	[ "$status" -eq 0 ]
	[ "$output" = "$uid $uid $gid [$gid] $(getent passwd nobody | cut -d: -f6) nobody None" ]
	run_vizbpf -q --as-root -o a.json -- "$PYTHON" who.py
	[ "$status" -eq 0 ]
	[[ $output == "0 0 "* ]]
}

@test "--user NAME runs it as that user, who cannot get back to root" {
	need_root
	chmod 755 .
	script who.py <<'END'
import os
print(os.getresuid(), os.getresgid())
try:
    os.setuid(0)
except PermissionError:
    print("not root")
END
	run_vizbpf -q --user nobody -o a.json -- "$PYTHON" who.py
	[ "$status" -eq 0 ]
	uid=$(id -u nobody)
	gid=$(id -g nobody)
	[ "$output" = "($uid, $uid, $uid) ($gid, $gid, $gid)
not root" ]
	run_vizbpf -q --user no-such-user -o a.json -- "$PYTHON" who.py
	assert_failed
	assert_contains "$errors" no-such-user
}

@test "with real sudo the program gets back the environment that sudo took away" {
	need_root
	need sudo
	chmod 755 .
	script env.py <<'END'
import os
print(os.getuid(), os.environ.get("OWN_SETTING"), os.environ["PATH"].split(":")[0])
END
	mkdir bin
	chmod 755 bin
	# root's sudo stands for a user's: SUDO_UID is set by hand behind it
	run env OWN_SETTING=kept PATH="$WORK/bin:$PATH" sudo -n SUDO_UID="$(id -u nobody)" \
		SUDO_GID="$(id -g nobody)" "$VIZBPF" -q -o "$WORK/a.json" -- "$PYTHON" "$WORK/env.py"
	[ "$status" -eq 0 ] || skip "sudo does not work here: $output"
	[ "$output" = "$(id -u nobody) kept $WORK/bin" ]
}
