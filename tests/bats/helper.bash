# SPDX-License-Identifier: Apache-2.0
# Shared by the BATS files: the program under test, targets to attach to, and cleaning up after
# them. Nothing here waits by sleeping: a target says that it is there, vizbpf says that it is
# attached (--ready-fd), and both are waited for through pipes.

TOP=${TOP:-$(cd "$BATS_TEST_DIRNAME/../.." && pwd)}
VIZBPF=${VIZBPF:-$TOP/build/vizbpf}
PYTHON=${PYTHON:-/usr/bin/python3}

# A loop of small functions that prints "ready" and then works until its input is closed.
# shellcheck disable=SC2034 # for the files that load this one
BUSY='
import os, select, sys
def leaf(n):
    return n + 1
def work():
    return sum(leaf(n) for n in range(50))
print("ready", flush=True)
while not select.select([0], [], [], 0.001)[0]:
    work()
'

setup() {
	WORK=$(mktemp -d "${BATS_TMPDIR:-/tmp}/vizbpf-bats-XXXXXX")
	TARGETS=
	TRACERS=
	MOUNTS=
	cd "$WORK" || return 1
}

teardown() {
	local pid mount

	for pid in $TRACERS; do
		kill -INT "$pid" 2>/dev/null
	done
	for pid in $TARGETS; do
		kill -KILL "$pid" 2>/dev/null
	done
	for pid in $TRACERS $TARGETS; do
		wait "$pid" 2>/dev/null
	done
	cd / || return 1
	for mount in $MOUNTS; do
		umount "$mount"
	done
	rm -rf --one-file-system "$WORK"
}

# Starts python (or $PYTHON_RUN) with the code given; sets TARGET, returns when it is ready.
# Its standard input stays open until end_target.
start_target() { # CODE [ARGUMENT...]
	local line number=0

	while [ -e "$WORK/target-in.$number" ]; do
		number=$((number + 1))
	done
	mkfifo "$WORK/target-in.$number" "$WORK/target-out.$number"
	# Descriptor 3 is BATS' own: a child that keeps it open keeps BATS waiting.
	"${PYTHON_RUN:-$PYTHON}" -c "$@" <>"$WORK/target-in.$number" \
		>"$WORK/target-out.$number" 2>"$WORK/target-err.$number" 3>&- &
	TARGET=$!
	TARGETS="$TARGETS $TARGET"
	TARGET_IN=$WORK/target-in.$number
	TARGET_OUT=$WORK/target-out.$number
	exec {TARGET_FD}<>"$TARGET_OUT"
	read -r -t 20 line <&"$TARGET_FD" && [ "$line" = ready ]
}

# The target ends by itself; its exit status is returned.
end_target() {
	echo go >"$TARGET_IN"
	wait "$TARGET"
}

# Attaches in the background and returns when all probes are in place: TRACER is its pid, its
# messages go to $WORK/messages. Fails if vizbpf ends before that.
start_vizbpf() { # ARGUMENT...
	mkfifo "$WORK/ready"
	# A shell without job control starts background commands with SIGINT ignored.
	env --default-signal=INT "$VIZBPF" "$@" --ready-fd 9 9>"$WORK/ready" >"$WORK/stdout" 2>"$WORK/messages" \
		</dev/null 3>&- &
	TRACER=$!
	TRACERS="$TRACERS $TRACER"
	# Opening waits for the writer; reading nothing means that it has gone.
	IFS= read -r -t 30 -N 1 _ <"$WORK/ready" || {
		echo "vizbpf was not ready: $(cat "$WORK/messages")"
		rm -f "$WORK/ready"
		return 1
	}
	rm -f "$WORK/ready"
}

# Ends the recording as Ctrl-C does; its exit status is returned.
stop_vizbpf() {
	kill -INT "$TRACER"
	wait "$TRACER"
}

# Runs vizbpf with standard error in $errors (one line each in error_lines) and standard output
# in $output, for at most 60 seconds; sets $status.
run_vizbpf() {
	status=0
	timeout 60 "$VIZBPF" "$@" >"$WORK/stdout" 2>"$WORK/messages" </dev/null 3>&- || status=$?
	output=$(cat "$WORK/stdout")
	errors=$(cat "$WORK/messages")
	mapfile -t error_lines <"$WORK/messages"
	# What BATS shows when the test fails.
	echo "status $status"
	echo "stdout: $output"
	echo "stderr: $errors"
}

# The rule for bad input: one clear line, a status that is not zero, no death by a signal.
assert_refused() {
	assert_failed || return 1
	[ "${#error_lines[@]}" -eq 1 ] || return 1
	[[ ${error_lines[0]} == vizbpf:* ]] || return 1
	[ -z "$output" ]
}

# It ended with an error, and not by a signal or by the time limit.
assert_failed() {
	[ "$status" -ne 0 ] || return 1
	[ "$status" -lt 124 ]
}

# `! command` does not end a test with an error, this does.
refute() { # COMMAND...
	if "$@"; then
		echo "unexpected success: $*"
		return 1
	fi
}

assert_contains() { # TEXT WORD
	[[ $1 == *"$2"* ]] || {
		echo "not found: $2"
		return 1
	}
}

valid_json() { # FILE
	"$PYTHON" -c 'import json, sys; json.load(open(sys.argv[1], encoding="utf-8"))' "$1"
}

# Number of complete calls of a function in a trace.
calls_of() { # FILE NAME
	jq --arg name "$2" '[.traceEvents[] | select(.ph == "X" and
		(.name | startswith($name + " (")))] | length' "$1"
}

need_root() {
	[ "$(id -u)" = 0 ] || skip "needs root"
}

need() { # TOOL
	command -v "$1" >/dev/null || skip "$1 is not installed"
}
