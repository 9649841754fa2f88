#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The command line: what a user types and what comes back.

load helper

@test "--help is grouped by purpose, on standard output, with status 0" {
	run_vizbpf --help
	[ "$status" -eq 0 ]
	[ -z "$errors" ]
	for word in --pid --output --duration --engine --ready-fd --quiet --verbose --log --version; do
		assert_contains "$output" "$word"
	done
	# Headings: lines that are neither indented nor empty.
	[ "$(grep -c '^[A-Z][A-Za-z ]*$' <<<"$output")" -ge 3 ]
}

@test "-h is --help" {
	run_vizbpf --help
	long=$output
	run_vizbpf -h
	[ "$status" -eq 0 ]
	[ "$output" = "$long" ]
}

@test "lines of --help fit into 100 columns" {
	run_vizbpf --help
	[ "$(wc -l <<<"$output")" -gt 20 ]
	[ "$(awk 'length > 100' <<<"$output" | wc -l)" -eq 0 ]
}

@test "--version prints the name and a version" {
	run_vizbpf --version
	[ "$status" -eq 0 ]
	[[ $output =~ ^vizbpf\ [0-9]+\.[0-9]+\.[0-9]+ ]]
	[ -z "$errors" ]
}

@test "every long option of --help is known, with hyphens and with underscores" {
	run_vizbpf --help
	options=$(grep -oE -e '--[a-z][a-z-]+' <<<"$output" | sort -u)
	[ "$(wc -l <<<"$options")" -gt 20 ]
	run_vizbpf --this-is-no-option
	grep -q "unknown option '--this-is-no-option'" messages
	for option in $options; do
		for spelling in "$option" "--$(tr - _ <<<"${option#--}")"; do
			# Each is complained about, if at all, for its value or for what is missing.
			run_vizbpf "$spelling" --help --this-is-no-option
			refute grep -q "unknown option '$option'" messages
		done
	done
}

@test "an option spelled with underscores does the same" {
	start_target "$BUSY"
	start_vizbpf -p "$TARGET" -o a.json --min_duration 1ms --max_stack_depth=3
	stop_vizbpf
	valid_json a.json
	[ "$(calls_of a.json leaf)" -eq 0 ]
}

@test "underscores in the arguments of a program are the program's" {
	cat >show.py <<'END'
import sys
print(sys.argv[1:])
END
	run_vizbpf -q -o a.json --as-root show.py --my_option=a_b --other_one
	[ "$status" -eq 0 ]
	[ "$output" = "['--my_option=a_b', '--other_one']" ]
}

@test "without arguments it says how it is used, and fails" {
	run_vizbpf
	[ "$status" -ne 0 ]
	[ -z "$output" ]
	assert_contains "$errors" "--help"
}

@test "attach, Ctrl-C, a valid trace and a summary" {
	start_target "$BUSY"
	start_vizbpf -p "$TARGET" -o a.json
	stop_vizbpf
	valid_json a.json
	[ "$(calls_of a.json leaf)" -gt 10 ]
	[ ! -s stdout ]
	for word in calls lost trampoline a.json; do
		assert_contains "$(cat messages)" "$word"
	done
	end_target
}

@test "the default output is result.json in the current directory" {
	start_target "$BUSY"
	start_vizbpf -p "$TARGET"
	stop_vizbpf
	valid_json result.json
}

@test "-o - writes the trace to standard output and nothing else" {
	start_target "$BUSY"
	run_vizbpf -q -p "$TARGET" -d 0.3 -o -
	[ "$status" -eq 0 ]
	valid_json stdout
	[ "$(calls_of stdout leaf)" -gt 0 ]
	[ -z "$errors" ]
}

@test "-d ends by itself after that time, with the target alive" {
	start_target "$BUSY"
	SECONDS=0
	run_vizbpf -p "$TARGET" -o a.json -d 1
	[ "$status" -eq 0 ]
	[ "$SECONDS" -ge 1 ]
	[ "$SECONDS" -lt 20 ]
	valid_json a.json
	end_target
}

@test "without -d it ends when the last target has ended" {
	start_target "$BUSY"
	start_vizbpf -p "$TARGET" -o a.json
	end_target
	wait "$TRACER"
	valid_json a.json
	[ "$(calls_of a.json leaf)" -gt 0 ]
}

@test "SIGTERM ends a recording like Ctrl-C" {
	start_target "$BUSY"
	start_vizbpf -p "$TARGET" -o a.json
	kill -TERM "$TRACER"
	wait "$TRACER"
	valid_json a.json
	end_target
}

@test "several processes: -p PID,PID and -p PID -p PID" {
	start_target "$BUSY"
	first=$TARGET
	start_target "$BUSY"
	second=$TARGET
	start_vizbpf -p "$first,$second" -o a.json
	stop_vizbpf
	start_vizbpf -p "$first" -p "$second" -o b.json
	stop_vizbpf
	for file in a.json b.json; do
		for pid in "$first" "$second"; do
			[ "$(jq "[.traceEvents[] | select(.ph == \"X\" and .pid == $pid)] | length" $file)" \
				-gt 0 ]
		done
	done
}

@test "-q is silent" {
	start_target "$BUSY"
	start_vizbpf -q -p "$TARGET" -o a.json
	stop_vizbpf
	[ ! -s messages ]
	[ ! -s stdout ]
	valid_json a.json
}

@test "-v says more, --log only of its domains" {
	start_target "$BUSY"
	start_vizbpf -p "$TARGET" -o a.json
	stop_vizbpf
	plain=$(wc -l <messages)
	start_vizbpf -v -p "$TARGET" -o a.json
	stop_vizbpf
	verbose=$(wc -l <messages)
	start_vizbpf --log=elf -p "$TARGET" -o a.json
	stop_vizbpf
	domain=$(wc -l <messages)
	echo "$plain $domain $verbose"
	[ "$plain" -lt "$verbose" ]
	[ "$domain" -le "$verbose" ]
}

@test "--ready-fd gets exactly one byte, and is closed" {
	start_target "$BUSY"
	mkfifo pipe
	env --default-signal=INT "$VIZBPF" -q -p "$TARGET" -o a.json --ready-fd 9 9>pipe 3>&- &
	TRACER=$!
	TRACERS=$TRACER
	# cat returns when the last writer has closed it: while vizbpf still records.
	timeout 30 cat pipe >bytes
	[ "$(wc -c <bytes)" -eq 1 ]
	kill -0 "$TRACER"
	kill -INT "$TRACER"
	wait "$TRACER"
}

@test "once ready, everything is recorded from the first call on" {
	start_target '
import sys
def after_ready():
    pass
print("ready", flush=True)
sys.stdin.readline()
for _ in range(1000):
    after_ready()
print("done", flush=True)
sys.stdin.readline()
'
	start_vizbpf -p "$TARGET" -o a.json
	echo go >"$TARGET_IN"
	read -r -t 20 line <&"$TARGET_FD"
	[ "$line" = done ]
	stop_vizbpf
	[ "$(calls_of a.json after_ready)" -eq 1000 ]
}

@test "--engine eval is taken, said and stored" {
	start_target "$BUSY"
	start_vizbpf -p "$TARGET" --engine eval -o a.json
	stop_vizbpf
	[ "$(jq -r '.vizbpf_metadata.processes[0].engine' a.json)" = eval ]
	[ "$(jq '.vizbpf_metadata | .calls > 0 and .calls == .processes[0].calls' a.json)" = true ]
	assert_contains "$(cat messages)" eval
}

@test "--c-functions: C functions, or a word that the interpreter tells of none" {
	start_target "$BUSY"
	start_vizbpf -p "$TARGET" --c-functions --log-exception -o a.json
	stop_vizbpf
	[ "$(jq -r '.vizbpf_metadata.processes[0].engine' a.json)" = trampoline ]
	[ "$(jq '[.traceEvents[] | select(.ph == "X")] | length' a.json)" -gt 0 ]
	if "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then
		[ "$(jq '[.traceEvents[] | select(.ph == "X" and (.name | contains("(") | not))] |
			length' a.json)" -gt 0 ]
	else
		assert_contains "$(cat messages)" "are not recorded: CPython tells of them from 3.12 on"
		assert_contains "$(jq -r '.vizbpf_metadata.processes[0].limits' a.json)" "C functions"
	fi
	end_target
}

@test "the engine that auto takes is said and stored, with its reason" {
	start_target "$BUSY"
	start_vizbpf -p "$TARGET" -o a.json
	stop_vizbpf
	engine=$(jq -r '.vizbpf_metadata.processes[0].engine' a.json)
	[[ $engine =~ ^(usdt|eval|trampoline)$ ]]
	assert_contains "$(cat messages)" "$engine"
	[ "$(jq -r '.vizbpf_metadata.processes[0].python' a.json)" = \
		"$("$PYTHON" -c 'import platform; print(platform.python_version())')" ]
}

@test "the metadata name the run: version, command, host, kernel, calls, losses" {
	start_target "$BUSY"
	start_vizbpf -p "$TARGET" -o a.json
	stop_vizbpf
	jq -e '.viztracer_metadata | (.version | type == "string") and .overflow == false and
		(.baseTimeNanoseconds | type == "number")' a.json
	# times count from the begin of the recording: an event takes no digits for those before
	jq -e '[.traceEvents[].ts // 0] | max < 600000000' a.json
	jq -e '[.traceEvents[] | select(.ph == "X") | has("cat")] | any | not' a.json
	jq -e '.vizbpf_metadata | .version and .host and .kernel and (.lost == 0) and
		(.processes | length == 1)' a.json
	[ "$(jq '.vizbpf_metadata.processes[0].pid' a.json)" -eq "$TARGET" ]
	base=$(jq '.viztracer_metadata.baseTimeNanoseconds - .vizbpf_metadata.monotonic_zero' a.json)
	"$PYTHON" -c 'import sys, time
now = time.time_ns() - time.monotonic_ns()
assert abs(now - float(sys.argv[1])) < 5e9, (now, sys.argv[1])' "$base"
}

@test "the trace belongs to the user behind sudo and is nobody else's to read" {
	start_target "$BUSY"
	SUDO_UID=65534 SUDO_GID=65534 SUDO_USER=nobody start_vizbpf -p "$TARGET" -o a.json
	stop_vizbpf
	[ "$(stat -c %u:%g a.json)" = 65534:65534 ]
	start_vizbpf -p "$TARGET" -o b.json
	stop_vizbpf
	[ "$(stat -c %u b.json)" -eq 0 ]
	[[ $(stat -c %a b.json) =~ ^6[04][04]$ ]]
}

@test "what was running at the attach and at the end is there, and marked" {
	start_target '
import sys
def outer():
    inner()
def inner():
    print("ready", flush=True)
    sys.stdin.readline()
    late()
def late():
    print("done", flush=True)
    sys.stdin.readline()
outer()
'
	start_vizbpf -p "$TARGET" -o a.json
	echo go >"$TARGET_IN"
	read -r -t 20 line <&"$TARGET_FD"
	[ "$line" = done ]
	stop_vizbpf
	[ "$(calls_of a.json late)" -eq 1 ]
	jq -e '.traceEvents[] | select(.ph == "X" and (.name | startswith("late ("))) |
		.args.unfinished == true' a.json
}

@test "ps lists the target with its version and the engine it would get" {
	start_target "$BUSY"
	run_vizbpf ps
	[ "$status" -eq 0 ]
	line=$(grep -E "(^| )$TARGET( |\$)" <<<"$output")
	assert_contains "$line" "$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
	[[ $line =~ usdt|eval|trampoline ]]
}

@test "doctor prints a checklist" {
	run_vizbpf doctor
	[ "$status" -eq 0 ]
	[ "$(wc -l <<<"$output")" -ge 5 ]
	assert_contains "$output" BTF
}

@test "on a terminal one line says how it goes, and at the end what was hot and how to see it" {
	need_root
	start_target "$BUSY"
	"$PYTHON" - "$VIZBPF" -p "$TARGET" -d 2.5 -o "it's.json" >seen <<'PYTHON'
import fcntl, os, pty, re, struct, sys, termios
pid, fd = pty.fork()
if not pid:
    fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    os.execv(sys.argv[1], sys.argv[1:])
seen = b""
while True:
    try:
        data = os.read(fd, 65536)
    except OSError:
        break
    seen += data
    if not data:
        break
sys.exit(os.waitpid(pid, 0)[1] or sys.stdout.write(seen.decode()) * 0)
PYTHON
	"$PYTHON" - <<'PYTHON'
import re
seen = open("seen", newline="").read()
lines = re.findall(r"\r([0-9.]+ s  [^\x1b]*)\x1b\[K", seen)
assert len(lines) >= 2, seen
assert all(len(line) < 60 for line in lines), "cut to the width of the terminal: %r" % lines
assert re.match(r"\d+\.\d s  1 process  1 thread  [\d,]+ calls  [\d,]+/s  ", lines[-1]), lines[-1]
end = seen.rsplit("\x1b[K", 1)[1]
assert re.match(r"[\d,]+ calls in \d+\.\d s \([\d,]+ calls/s\), lost 0", end), end
assert re.search(r"calls  work \(<string>:5\)", end), end
assert end.splitlines()[-1] == "  vizbpf view 'it'\\''s.json'", end
PYTHON
	end_target
	start_target "$BUSY"
	run_vizbpf -p "$TARGET" -d 1.5 -o plain.json
	refute grep -q $'\r' messages
	end_target
}
