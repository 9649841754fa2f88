#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# --max-stack-depth: depth is that of the thread, or of the greenlet, and the same with every
# engine. The truth is what each function of program.py finds around itself.

load ../bats/helper

ROOTS=${VIZBPF_CACHE:-/var/cache/vizbpf}/roots

pythons() { # MODULE: one command a line
	local root python

	for python in "$PYTHON" ~/.pyenv/versions/3.8.*/bin/python ~/.pyenv/versions/3.12.*/bin/python; do
		"$python" -c "import $1" 2>/dev/null && echo "$python"
	done
	for root in "$ROOTS"/*/; do
		for python in "$root"usr/bin/python3.*[0-9]; do
			chroot "$root" "${python#"${root%/}"}" -c "import $1" 2>/dev/null &&
				echo "chroot $root ${python#"${root%/}"}"
		done
	done
	return 0
}

# Where every root has the program.
place_program() {
	local root

	PROGRAM=/tmp/vizbpf-depth/program.py
	for root in / "$ROOTS"/*/; do
		mkdir -p "$root/tmp/vizbpf-depth"
		cp "$BATS_TEST_DIRNAME/program.py" "$root/tmp/vizbpf-depth/"
	done
}

compare() { # DEPTH
	"$PYTHON" "$BATS_TEST_DIRNAME/compare.py" out.json truth "$1"
}

launched() { # KIND MODULE DEPTH...
	local kind=$1 module=$2 command depth engine wrong=

	need_root
	place_program
	shift 2
	pythons "$module" >pythons
	[ -s pythons ] || skip "no interpreter has $module"
	while read -r command; do
		for engine in eval trampoline; do
			for depth; do
				# shellcheck disable=SC2086
				timeout 60 "$VIZBPF" -q --engine "$engine" --max-stack-depth "$depth" -o out.json -- \
					$command "$PROGRAM" "$kind" >truth 2>messages </dev/null 3>&- || {
					cat messages
					wrong=yes
				}
				compare "$depth" || {
					echo "^ $command, engine $engine, depth $depth"
					wrong=yes
				}
			done
		done
	done <pythons
	[ -z "$wrong" ]
}

@test "depth: recursion" { launched recursion sys 1 4; }
@test "depth: generators, begun at one depth and resumed at others" { launched generators sys 4 7; }
@test "depth: threads" { launched threads sys 3; }
@test "depth: coroutines" { launched coroutines asyncio 9; }
@test "depth: greenlets, the module imported from deep within" { launched greenlets greenlet 1 2 3 5; }

@test "depth: greenlets of a program that is attached to" {
	local engine

	need_root
	"$PYTHON" -c "import greenlet" || skip "no greenlet"
	for engine in eval trampoline; do
		[ -e never ] || mkfifo never
		mkfifo "in.$engine"
		"$PYTHON" -c 'import greenlet, sys; sys.argv[0] = "program.py"
exec(compile(open(sys.argv.pop(1)).read(), "program.py", "exec"))' \
			"$BATS_TEST_DIRNAME/program.py" greenlets wait <>"in.$engine" >truth 3>&- &
		TARGET=$!
		TARGETS="$TARGETS $TARGET"
		for _ in $(seq 100); do
			grep -q ready truth && break
			read -r -t 0.1 _ <>"$WORK/never" || true
		done
		start_vizbpf -p "$TARGET" --engine "$engine" --max-stack-depth 4 -o out.json
		echo go >"in.$engine"
		wait "$TARGET"
		wait "$TRACER"
		compare 4
	done
}

@test "depth: what is excluded with all it calls stays so when greenlets come" {
	local engine

	need_root
	"$PYTHON" -c "import greenlet" || skip "no greenlet"
	for engine in eval trampoline; do
		timeout 60 "$VIZBPF" -q --engine "$engine" --exclude-functions nest -o out.json -- \
			"$PYTHON" "$BATS_TEST_DIRNAME/program.py" greenlets >truth </dev/null 3>&-
		[ "$(calls_of out.json middle)" = 200 ]
		[ "$(calls_of out.json leaf)" = 200 ]
		[ "$(calls_of out.json import_greenlet)" = 0 ]
		[ "$(calls_of out.json round_trip)" = 0 ]
	done
}
