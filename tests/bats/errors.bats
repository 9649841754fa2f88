#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Bad input: one clear line, a status that is not zero, nothing half-attached, no harm.

load helper

@test "an unknown option" {
	run_vizbpf --no-such-option
	assert_failed
	assert_contains "$errors" no-such-option
	[ -z "$output" ]
}

@test "values that are no values" {
	start_target "$BUSY"
	for arguments in "--duration 0" "--duration x" "--duration -1" "--engine magic" \
		"--min-duration soon" "--max-stack-depth -1" "--max-stack-depth x" "--log nothing" \
		"--ready-fd 77" "--ready-fd x" "--ring-size x" "--ring-size -1" \
		"--include-files [a" "--exclude-functions x[" "--threads ["; do
		# shellcheck disable=SC2086 # an option and its value
		run_vizbpf -p "$TARGET" -o a.json $arguments
		assert_refused
		assert_contains "$errors" "${arguments%% *}" || [[ $errors == *"${arguments##* }"* ]]
		[ ! -e a.json ]
	done
}

@test "options that contradict each other" {
	run_vizbpf -p 1 --include-functions ''
	assert_refused
	assert_contains "$errors" "it is empty"
	for arguments in "--stdlib --no-stdlib -p 1" "-p 1 script.py" "--before 1s -p 1" \
		"--after 1s -p 1"; do
		run_vizbpf $arguments
		assert_refused
		[ "$status" -eq 2 ]
	done
}

@test "pids that are no pids" {
	for pid in 0 -1 x 1x "" 99999999999 1, ,; do
		run_vizbpf -p "$pid" -o a.json
		assert_refused
		[ ! -e a.json ]
	done
}

@test "no such process" {
	start_target "$BUSY"
	gone=$TARGET
	end_target
	run_vizbpf -p "$gone" -o a.json
	assert_refused
	assert_contains "$errors" "$gone"
	assert_contains "$errors" "no such process"
	[ ! -e a.json ]
}

@test "not a Python process" {
	sleep 1000 3>&- &
	TARGETS=$!
	run_vizbpf -p "$!" -o a.json
	assert_refused
	assert_contains "$errors" "$!"
	assert_contains "$errors" "not a Python process"
	[ ! -e a.json ]
}

@test "one of two targets is bad: nothing is traced" {
	start_target "$BUSY"
	run_vizbpf -p "$TARGET,1" -o a.json
	assert_refused
	[ ! -e a.json ]
	end_target
}

@test "a kernel thread, a zombie" {
	kthread=$(pgrep -P 2 | head -n 1)
	[ -n "$kthread" ] || skip "no kernel threads are visible here"
	run_vizbpf -p "$kthread" -o a.json
	assert_refused
	start_target '
import os, sys
child = os.fork()
if not child:
    os._exit(0)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print("ready", flush=True)
print(child, flush=True)
sys.stdin.readline()
'
	read -r -t 20 zombie <&"$TARGET_FD"
	run_vizbpf -p "$zombie" -o a.json
	assert_refused
}

@test "a directory that is not there, found before attaching" {
	start_target "$BUSY"
	run_vizbpf -p "$TARGET" -o no/such/a.json
	assert_refused
	assert_contains "$errors" no/such/a.json
	assert_contains "$errors" "No such file or directory"
	end_target
}

@test "the output is a directory" {
	start_target "$BUSY"
	mkdir a.json
	run_vizbpf -p "$TARGET" -o a.json
	assert_refused
	assert_contains "$errors" a.json
}

@test "the output is on a file system that cannot be written" {
	need_root
	start_target "$BUSY"
	mkdir ro
	mount -t tmpfs -o ro,size=64k tmpfs ro || skip "tmpfs cannot be mounted here"
	MOUNTS="$WORK/ro"
	run_vizbpf -p "$TARGET" -o ro/a.json
	assert_refused
	assert_contains "$errors" "Read-only file system"
	end_target
}

@test "a suffix that means nothing" {
	start_target "$BUSY"
	run_vizbpf -p "$TARGET" -o a.xyz
	assert_refused
	assert_contains "$errors" .xyz
}

@test "a full disk: it stops, says so, and what is written is valid" {
	need_root
	start_target "$BUSY"
	mkdir small
	mount -t tmpfs -o size=512k tmpfs small || skip "tmpfs cannot be mounted here"
	MOUNTS="$WORK/small"
	run_vizbpf -p "$TARGET" -o small/a.json
	assert_failed
	assert_contains "$errors" "No space left on device"
	assert_contains "$errors" small/
	# The name it has now is in the message, or it is the one that was asked for.
	file=$(find small -name '*a.json*' -type f | head -n 1)
	[ -n "$file" ]
	valid_json "$file"
	[ "$(calls_of "$file" leaf)" -gt 0 ]
	end_target
}

@test "an existing file stays when the trace cannot be made" {
	echo '{"mine": 1}' >a.json
	sleep 1000 3>&- &
	TARGETS=$!
	run_vizbpf -p "$!" -o a.json
	assert_refused
	[ "$(cat a.json)" = '{"mine": 1}' ]
}

@test "a link in place of the output is not followed" {
	start_target "$BUSY"
	echo precious >precious
	ln -s precious a.json
	if start_vizbpf -p "$TARGET" -o a.json; then
		stop_vizbpf
	else
		assert_contains "$(cat messages)" a.json
	fi
	[ "$(cat precious)" = precious ]
}

@test "no privilege: the capability that is missing is named" {
	need_root
	need setpriv
	start_target "$BUSY"
	chmod 777 "$WORK"
	# The program may lie where nobody else can read.
	install -m 755 "$VIZBPF" "$WORK/program"
	VIZBPF="setpriv"
	run_vizbpf --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all \
		"$WORK/program" -p "$TARGET" -o a.json
	assert_refused
	assert_contains "$errors" CAP_
	[ ! -e a.json ]
	end_target
}

@test "help, version and ps need no privilege" {
	need_root
	need setpriv
	chmod 755 "$WORK"
	install -m 755 "$VIZBPF" "$WORK/program"
	VIZBPF="setpriv"
	for arguments in --help --version ps doctor; do
		run_vizbpf --reuid 65534 --regid 65534 --clear-groups "$WORK/program" $arguments
		# ps says it if there is nothing that this user may see.
		[ -n "$output$errors" ]
		case $arguments in
		doctor) [ "$status" -lt 2 ] ;;
		*) [ "$status" -eq 0 ] ;;
		esac
	done
}

@test "a process that exits while it is examined: a reason or a trace, never a crash" {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		"$PYTHON" -c 'pass' 3>&- &
		pid=$!
		run_vizbpf -p "$pid" -o a.json -d 5
		wait "$pid" || true
		if [ "$status" -ne 0 ]; then
			assert_refused
			[ ! -e a.json ]
		else
			valid_json a.json
			rm a.json
		fi
	done
}

@test "a target that is killed while it is recorded: the trace is complete and valid" {
	start_target "$BUSY"
	start_vizbpf -p "$TARGET" -o a.json
	kill -KILL "$TARGET"
	wait "$TRACER"
	valid_json a.json
	[ "$(calls_of a.json leaf)" -gt 0 ]
}

@test "--ready-fd stays silent when attaching fails" {
	sleep 1000 3>&- &
	TARGETS=$!
	refute start_vizbpf -p "$!" -o a.json
	assert_contains "$(cat messages)" "not a Python process"
}

@test "an engine that the interpreter does not support is refused with a reason" {
	start_target "$BUSY"
	"$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' ||
		skip "this Python's probes are complete"
	run_vizbpf -p "$TARGET" --engine usdt -o a.json
	assert_refused
	assert_contains "$errors" usdt
	[ ! -e a.json ]
	end_target
}

@test "what only engine trampoline can see is refused with another one" {
	for option in --c-functions --log-exception; do
		run_vizbpf "$option" --engine eval -o a.json -- "$PYTHON" -c pass
		assert_refused
		assert_contains "$errors" "$option needs engine trampoline"
		[ ! -e a.json ]
	done
}

@test "a debug or foreign executable named python is refused, not guessed" {
	cp /bin/sleep python3.11
	./python3.11 1000 3>&- &
	TARGETS=$!
	run_vizbpf -p "$!" -o a.json
	assert_refused
	[ ! -e a.json ]
}

@test "terminal escapes in a name do not reach the terminal" {
	printf 'import sys\nprint("ready", flush=True)\nsys.stdin.readline()\n' \
		>"$(printf 'x\033[31mred.py')"
	mkfifo in out
	"$PYTHON" "$(printf 'x\033[31mred.py')" <>in >out 3>&- &
	TARGETS=$!
	TARGET=$!
	read -r -t 20 line <out
	start_vizbpf -v -p "$TARGET" -o "$(printf 'a\033[31m.json')"
	stop_vizbpf
	refute grep -q "$(printf '\033')\[31m" messages
}

# Kernels before 5.8 have none; such a kernel's answer to libbpf stands for one.
@test "a kernel without ring buffers is refused, with the reason" {
	cat >old.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
int libbpf_probe_bpf_map_type(enum bpf_map_type type, const void *unused)
{
	return type != BPF_MAP_TYPE_RINGBUF;
}
int bpf_map_create(enum bpf_map_type type, const char *name, __u32 key, __u32 value, __u32 max,
		   const void *options)
{
	int (*next)(enum bpf_map_type, const char *, __u32, __u32, __u32, const void *) =
		dlsym(RTLD_NEXT, "bpf_map_create");

	errno = EINVAL;
	return type == BPF_MAP_TYPE_RINGBUF ? -EINVAL : next(type, name, key, value, max, options);
}
END
	gcc -shared -fPIC -o old.so old.c
	start_target "$BUSY"
	LD_PRELOAD=$WORK/old.so run_vizbpf -p "$TARGET" -d 1 -o a.json
	assert_failed
	assert_contains "$errors" "no BPF ring buffer (Linux 5.8 and newer)"
	[ ! -e a.json ]
	LD_PRELOAD=$WORK/old.so run_vizbpf doctor
	assert_failed
	assert_contains "$output" "BPF ring buffer"
}

@test "nothing stays behind: the target runs on after every refusal above" {
	start_target "$BUSY"
	run_vizbpf -p "$TARGET" -o no/such/a.json
	run_vizbpf -p "$TARGET" --engine magic
	run_vizbpf -p "$TARGET,1" -o a.json
	start_vizbpf -p "$TARGET" -o a.json
	stop_vizbpf
	[ "$(calls_of a.json leaf)" -gt 0 ]
	end_target
	[ "$(ls "$WORK"/.*json* "$WORK"/*.tmp 2>/dev/null | wc -l)" -eq 0 ]
}
