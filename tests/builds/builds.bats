#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# How an interpreter can be built: at a fixed address, position-independent, with packed
# relocations, static, each stripped and not; and the builds that are refused. All are real: linked
# from Debian's libpython3.X.a (python3-dev), or Debian's debug build (python3.X-dbg).
# VIZBPF_EXTRA_PYTHONS: paths of others to try, of whatever build (tests/truth/run takes it too).

load ../bats/helper

BUILD=${BUILD:-$TOP/build}

# Makes 50 calls each time it is asked to, and is idle between.
ANSWER='
import sys
def leaf(n):
    return n + 1
def work():
    return sum(leaf(n) for n in range(50))
print("ready", flush=True)
for line in sys.stdin:
    work()
    print("done", flush=True)
'

# link NAME LIBRARY OPTION...: python3.X in the folder NAME, and stripped in NAME-stripped.
link() {
	local name=$1 library=$2

	shift 2
	mkdir "$name" "$name-stripped"
	gcc -O1 -I"$INCLUDE" "$@" -o "$name/$EXE" main.c "$library" -lexpat -lz -lm -ldl -lpthread \
		-lutil 2>>log || return 1
	strip -o "$name-stripped/$EXE" "$name/$EXE"
}

setup_file() {
	need_root
	cd "$BATS_FILE_TMPDIR" || return 1
	read -r EXE INCLUDE LIBPL < <("$PYTHON" -c 'import sys, sysconfig as s
print("python%d.%d" % sys.version_info[:2], s.get_path("include"), s.get_config_var("LIBPL"))')
	export EXE
	fixed=$LIBPL/lib$EXE.a pic=$LIBPL/lib$EXE-pic.a
	[ -e "$fixed" ] && [ -e "$pic" ] && [ -e "$INCLUDE/Python.h" ] || {
		touch absent
		return
	}
	printf '#include <Python.h>\nint main(int c, char **v) { return Py_BytesMain(c, v); }\n' >main.c
	link fixed "$fixed" -no-pie -rdynamic
	link pie "$pic" -pie -fPIE -rdynamic
	link static "$fixed" -static -no-pie
	link static-pie "$pic" -static-pie -fPIE
	# binutils before 2.38 do not know it
	link packed "$pic" -pie -fPIE -rdynamic -Wl,-z,pack-relative-relocs || rm -rf packed*
}

# start_build NAME: runs ANSWER with it.
start_build() {
	[ ! -e "$BATS_FILE_TMPDIR/absent" ] || skip "python3-dev is not installed"
	[ -x "$BATS_FILE_TMPDIR/$1/$EXE" ] || skip "it cannot be linked here"
	PYTHON_RUN=$BATS_FILE_TMPDIR/$1/$EXE
	# The files of the standard library are the system's.
	PYTHONHOME=/usr start_target "$ANSWER"
}

# Every call is seen while the target works once.
check_engine() { # ENGINE
	start_vizbpf -q --engine "$1" -p "$TARGET" -o a.json
	echo go >"$TARGET_IN"
	read -r -t 30 line <&"$TARGET_FD"
	stop_vizbpf
	[ "$(calls_of a.json leaf)" = 50 ]
	[ "$(calls_of a.json work)" = 1 ]
	[ "$(jq '.vizbpf_metadata.processes[0].lost' a.json)" = 0 ]
}

# Every call of a program that vizbpf starts, whose loader has to be watched.
check_launch() { # PYTHON
	rm -f a.json
	run_vizbpf -q -o a.json -- "$1" -c '
def marker(): pass
for i in range(7): marker()'
	[ "$status" -eq 0 ]
	[ "$(calls_of a.json marker)" = 7 ]
}

check_build() { # NAME
	start_build "$1"
	check_engine eval
	check_engine trampoline
	PYTHONHOME=/usr check_launch "$PYTHON_RUN"
}

@test "at a fixed address" {
	check_build fixed
}

@test "at a fixed address, stripped" {
	check_build fixed-stripped
}

@test "position-independent" {
	check_build pie
}

@test "position-independent, stripped" {
	check_build pie-stripped
}

@test "position-independent with packed relocations" {
	check_build packed
}

@test "position-independent with packed relocations, stripped" {
	check_build packed-stripped
}

# Here the recorder does not fit behind the code: it is written into memory that its loader maps.
@test "static" {
	check_build static
	# a second attach finds the recorder, a third one too
	check_engine trampoline
	check_engine trampoline
	maps=$(grep -c ' r-xp ' /proc/"$TARGET"/maps)
	[ "$maps" -eq 3 ]
}

@test "static and position-independent" {
	check_build static-pie
}

# The loader waits for 4 ms, and who brings the recorder looks for it every 100 ms.
@test "static: a recorder that comes late" {
	make -s -C "$TOP" BUILD="$BUILD" trampoline-driver >&2
	start_build static
	"$BUILD/tests/trampoline-driver" -v -s 100 -d 60 "$TARGET" >seen 2>log &
	driver=$!
	TRACERS="$TRACERS $driver"
	timeout 30 sh -c 'until grep -q ^armed seen; do sleep 0.01; done'
	until grep -q ^up seen; do
		kill -0 "$driver"
		echo go >"$TARGET_IN"
		read -r -t 30 line <&"$TARGET_FD"
	done
	for _ in 1 2 3; do
		echo go >"$TARGET_IN"
		read -r -t 30 line <&"$TARGET_FD"
	done
	kill -INT "$driver"
	wait "$driver"
	cat seen log
	grep -q "delivered, the slot was empty" log
	read -r _ _ _ calls _ <<<"$(grep "^call work " seen)"
	[ "$calls" -ge 3 ]
}

# Whoever is to bring it is killed meanwhile: the program goes on as if nothing had been.
@test "static: a recorder that never comes" {
	make -s -C "$TOP" BUILD="$BUILD" trampoline-driver >&2
	start_build static
	"$BUILD/tests/trampoline-driver" -s 60000 -d 60 "$TARGET" >seen 2>log &
	driver=$!
	TRACERS="$TRACERS $driver"
	timeout 30 sh -c 'until grep -q ^armed seen; do sleep 0.01; done'
	sleep 0.2
	kill -KILL "$driver"
	wait "$driver" || true
	for _ in 1 2 3; do
		echo go >"$TARGET_IN"
		read -r -t 30 line <&"$TARGET_FD"
		[ "$line" = "done" ]
	done
	check_engine trampoline
}

@test "static and stripped: nothing in it says that it is a Python" {
	start_build static-stripped
	run_vizbpf -p "$TARGET" -o a.json
	assert_refused
	assert_contains "$errors" "not a Python process"
}

# refused BUILD PYTHON: by ps, by every engine, and at a launch, where the program runs all the same.
refused() {
	local engine

	rm -f a.json
	PYTHON_RUN=$2 start_target "$ANSWER"
	run_vizbpf ps "$TARGET"
	assert_contains "$output" "not traceable: a $1 build of Python 3"
	for engine in auto usdt eval trampoline; do
		run_vizbpf --engine "$engine" -p "$TARGET" -o a.json
		assert_refused
		assert_contains "$errors" "a $1 build of Python 3"
		[ ! -e a.json ]
	done
	echo go >"$TARGET_IN"
	read -r -t 30 line <&"$TARGET_FD"
	[ "$line" = "done" ]
	run_vizbpf -o a.json -- "$2" -c 'import sys; print(6 * 7); sys.exit(3)'
	[ "$status" -eq 3 ]
	[ "$output" = 42 ]
	assert_contains "$errors" "a $1 build of Python 3"
}

@test "a debug build is refused, also under another name" {
	debug=$("$PYTHON" -c 'import sys; print("/usr/bin/python%d.%d-dbg" % sys.version_info[:2])')
	[ -x "$debug" ] || skip "${debug##*/} is not installed"
	refused debug "$debug"
	cp "$debug" python3
	PYTHONHOME=/usr refused debug "$WORK/python3"
}

@test "interpreters of VIZBPF_EXTRA_PYTHONS" {
	[ -n "${VIZBPF_EXTRA_PYTHONS:-}" ] || skip "VIZBPF_EXTRA_PYTHONS names none"
	for python in $VIZBPF_EXTRA_PYTHONS; do
		kind=$("$python" -c 'import sys
print("debug" if hasattr(sys, "gettotalrefcount") else
      "free-threaded" if not getattr(sys, "_is_gil_enabled", lambda: True)() else "plain")')
		echo "$python: $kind"
		if [ "$kind" = plain ]; then
			PYTHON_RUN=$python start_target "$ANSWER"
			check_engine eval
			check_launch "$python"
		else
			refused "$kind" "$python"
		fi
	done
}
