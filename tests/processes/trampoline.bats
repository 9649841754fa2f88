#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Engine trampoline where it meets the life of a process: its start, its interpreters, and what
# happens when it cannot be had.

load ../bats/helper

HERE=$BATS_TEST_DIRNAME

# Interpreters of one version or more, newest last; by what a line of Python says of them.
pythons() { # EXPRESSION
	local python

	for python in /usr/bin/python3 ~/.pyenv/versions/3.*/bin/python3; do
		if [ "$("$python" -c "import sys; print($1)" 2>/dev/null)" = True ]; then
			echo "$python"
		fi
	done
}

engine_of() { # TRACE
	"$HERE/trace.py" "$1" processes | cut -d' ' -f4 | sort -u
}

# Fills up the zero tails of the code in its address space; the kernel's own, too, with VDSO before.
VDSO='vdso = True
'
FULL='
maps = open("/proc/self/maps").read().splitlines()
with open("/proc/self/mem", "r+b", buffering=0) as mem:
    for line in maps:
        where, mode, offset, device, inode = line.split()[:5]
        start, end = (int(x, 16) for x in where.split("-"))
        if mode != "r-xp" or inode == "0" and not ("[vdso]" in line and "vdso" in globals()):
            continue
        mem.seek(end - 4096)
        tail = 4096 - len(mem.read(4096).rstrip(b"\0"))
        mem.seek(end - tail)
        mem.write(tail * b"\xcc")
'

@test "the first call of a program that is started is recorded, on every version" {
	local python nr=0

	cat >first.py <<'END'
def first():
    return 1
first()
for i in range(9):
    first()
END
	for python in $(pythons 'sys.version_info >= (3, 9)'); do
		run_vizbpf -q --engine trampoline -o a.json -- "$python" first.py
		[ "$status" -eq 0 ]
		[ "$(engine_of a.json)" = trampoline ]
		[ "$(calls_of a.json first)" -eq 10 ]
		[ "$(calls_of a.json '<module>')" -eq 1 ]
		nr=$((nr + 1))
	done
	[ "$nr" -gt 0 ]
}

@test "interpreters with a GIL of their own, at the same time, from their first call on" {
	local python number

	python=$(pythons 'sys.version_info >= (3, 12)' | tail -1)
	[ -n "$python" ] || skip "no Python 3.12 or newer"
	cat >own.py <<'END'
import sys
import threading
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
CODE = """
def own(n):
    return n
for i in range(500):
    own(i)
"""
def one():
    for i in range(3):
        barrier.wait()
        interpreter = interpreters.create()
        barrier.wait()
        interpreters.run_string(interpreter, CODE)
        interpreters.destroy(interpreter)
idle = [interpreters.create() for i in range(3)]
threads = [threading.Thread(target=one) for i in range(int(sys.argv[1]))]
barrier = threading.Barrier(len(threads))
for t in threads:
    t.start()
for t in threads:
    t.join()
END
	for number in 4 40; do
		run_vizbpf -q --engine trampoline -o a.json -- "$python" own.py $number
		[ "$status" -eq 0 ]
		[ "$(calls_of a.json own)" -eq $((number * 1500)) ]
		[ "$(calls_of a.json one)" -eq $number ]
		[ -z "$errors" ]
	done
}

@test "the recorder cannot be had: another engine takes over, with the reason, asked for or not" {
	local engine

	for engine in trampoline auto; do
		start_target "
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
$BUSY"
		start_vizbpf --engine "$engine" -p "$TARGET" -d 1 -o a.json
		wait "$TRACER"
		grep -q "its limit of file sizes (ulimit -f) is below" messages
		[ "$(engine_of a.json)" = eval ]
		[ "$(calls_of a.json leaf)" -gt 0 ]
		end_target
	done
}

@test "no room for the recorder behind the code: a smaller loader goes behind the kernel's" {
	local python

	for python in $(pythons 'sys.version_info >= (3, 9)'); do
		PYTHON_RUN=$python start_target "$FULL$BUSY"
		start_vizbpf --engine trampoline -p "$TARGET" -d 1 -o a.json
		wait "$TRACER"
		[ "$(engine_of a.json)" = trampoline ]
		[ "$(calls_of a.json leaf)" -gt 0 ]
		[ "$(grep -c "r-xp .* 00:00 0 *$" /proc/"$TARGET"/maps)" = 1 ]
		end_target
	done
}

@test "no room for a loader: another engine takes over, with the reason" {
	start_target "$VDSO$FULL$BUSY"
	start_vizbpf --engine trampoline -p "$TARGET" -d 1 -o a.json
	wait "$TRACER"
	grep -q "engine trampoline cannot record it (there is no room.*, eval takes over" messages
	[ "$(engine_of a.json)" = eval ]
	[ "$(calls_of a.json leaf)" -gt 0 ]
	end_target
}

@test "the target is denied memory: another engine takes over while it is recorded" {
	start_target "
import resource
size = int(open('/proc/self/statm').read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (size + (4 << 20), resource.RLIM_INFINITY))
$BUSY"
	start_vizbpf --engine trampoline -p "$TARGET" -d 2 -o a.json
	wait "$TRACER"
	grep -q "engine trampoline does not work there (it was denied .*), eval takes over" messages
	[ "$(engine_of a.json)" = eval ]
	[ "$(calls_of a.json leaf)" -gt 0 ]
	end_target
}

@test "a program that is started under perf profiling goes on, and vizbpf ends with it" {
	local python

	python=$(pythons '(3, 12) <= sys.version_info < (3, 14)' | tail -1)
	[ -n "$python" ] || skip "no Python 3.12 or 3.13"
	run_vizbpf -q --engine trampoline -o a.json -- "$python" -X perf -c 'print("on")'
	[ "$status" -eq 0 ]
	[ "$output" = on ]
	[[ $errors == *"perf profiling"* ]]
}

# Children that live at the same time; each has a region of one file.
@test "of a hundred living children each is recorded with all it does; of 300 it is said which are not" {
	local python number missed

	cat >forks.py <<'END'
import os, sys
def f(n):
    return n
read, write = os.pipe()
pids = []
for i in range(int(sys.argv[1])):
    pid = os.fork()
    if not pid:
        for k in range(20):
            f(k)
        os.read(read, 1)
        os._exit(0)
    pids.append(pid)
os.write(write, b"x" * len(pids))
for pid in pids:
    os.waitpid(pid, 0)
END
	for python in "$PYTHON" $(pythons 'sys.version_info >= (3, 12)' | tail -1); do
		for number in 100 300; do
			run_vizbpf --engine trampoline -o a.json -- "$python" forks.py "$number"
			[ "$status" -eq 0 ]
			missed=$(sed -n 's/.*: \([0-9]*\) forked children are not recorded:.*/\1/p' messages)
			[ "$number" -eq 300 ] || [ -z "$missed" ]
			[ "$number" -eq 100 ] || [ "$missed" -ge 45 ]
			[ "$(calls_of a.json f)" -eq $((20 * (number - ${missed:-0}))) ]
			[ -z "$missed" ] || jq -e --arg text "$missed forked children are not" \
				'any(.vizbpf_metadata.processes[]; .limits | contains($text))' a.json
		done
	done
}

# What is recorded is memory of the process, which ends a moment after its first call.
@test "a process that is idle at the attach and ends at once, and its child: every call" {
	local python before

	for python in "$PYTHON" $(pythons 'sys.version_info >= (3, 12)' | tail -1); do
		for before in 'f(0)' '' 'f(0)' '' ''; do
			PYTHON_RUN=$python start_target "
import os, sys
def f(n):
    return n
print('ready', flush=True)
os.read(0, 1)
$before
pid = os.fork()
if not pid:
    for i in range(40):
        f(i)
    os._exit(0)
os.waitpid(pid, 0)
os._exit(0)
"
			start_vizbpf -q --engine trampoline -p "$TARGET" -o a.json
			end_target
			wait "$TRACER"
			[ "$(engine_of a.json)" = trampoline ]
			"$HERE/trace.py" a.json calls f >calls
			[ "$(grep -c ' 40$' calls)" -eq 1 ]
			[ -z "$before" ] || grep -qx "$TARGET 1" calls
		done
	done
}

# Nobody opens the ring: the first call waits 100 ms for it, and goes on.
@test "what ended before its ring could be opened is said to be incomplete" {
	start_target '
import os
def f():
    pass
print("ready", flush=True)
os.read(0, 1)
f()
os._exit(0)
'
	start_vizbpf --engine trampoline -p "$TARGET" -o a.json
	kill -STOP "$TRACER"
	end_target
	kill -CONT "$TRACER"
	wait "$TRACER"
	jq -e '.vizbpf_metadata.processes[0].limits | contains("it ended before what it recorded")' a.json
	grep -q "$TARGET ended before what it recorded could be opened" messages
}

@test "programs that are started and end at once: every call, of eight at a time" {
	start_vizbpf -q --engine trampoline -a --comm vizbpf-short -o a.json
	mkdir bin
	ln -s "$PYTHON" bin/vizbpf-short
	"$HERE/whole.py" 40 10 "$PWD/bin/vizbpf-short" >list 3>&-
	stop_vizbpf
	[ "$("$HERE/trace.py" a.json calls marker | grep -c ' 10$')" -eq 40 ]
}

# Calls need no probe with this engine. Without those that tell of first calls (no more of them to be had,
# a function that has none) they are looked for every few milliseconds.
@test "no probe can be attached: programs and interpreters are found by looking" {
	local python

	cat >refuse.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <sys/syscall.h>
long syscall(long number, ...)
{
	long (*next)(long, ...) = dlsym(RTLD_NEXT, "syscall");
	const union bpf_attr *attr;
	va_list list;
	long a[6];

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	attr = (void *)a[1];
	/* 48: BPF_TRACE_UPROBE_MULTI */
	if (number == SYS_bpf && a[0] == BPF_LINK_CREATE && attr->link_create.attach_type == 48) {
		errno = EPERM;
		return -1;
	}
	return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
END
	gcc -shared -fPIC -o refuse.so refuse.c
	cat >late.py <<'END'
import time
def late(n):
    return n
time.sleep(0.5)
for i in range(1000):
    late(i)
try:
    import _interpreters as interpreters
except ImportError:
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        interpreters = None
if interpreters:
    one = interpreters.create()
    interpreters.run_string(one, """
def inner(n):
    return n
import time
time.sleep(0.5)
for i in range(1000):
    inner(i)
time.sleep(0.2)
""")
time.sleep(0.2)
END
	for python in "$PYTHON" $(pythons 'sys.version_info >= (3, 12)' | tail -1); do
		LD_PRELOAD=$WORK/refuse.so run_vizbpf -v --log=probe --engine trampoline -o a.json -- \
			env -u LD_PRELOAD "$python" late.py
		[ "$status" -eq 0 ]
		grep -q "cannot attach interp_first" messages || skip "probes are no links here"
		[ "$(engine_of a.json)" = trampoline ]
		[ "$(calls_of a.json late)" -eq 1000 ]
		[ "$(calls_of a.json inner)" -eq 1000 ]
	done
}
