#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A server that forks, starts programs and threads for ever: what vizbpf keeps of those that have
# ended must not add up. CHURN multiplies how many there are.

load ../bats/helper

CHURN=${CHURN:-1}
# KiB that may come in the second part: buffers grow with the load. What was kept of a process were
# 2 to 5, of a thread 0.5.
ROOM=1024

churn() { # WHAT COUNT
	local line

	echo "$1 $(($2 * CHURN))" >"$TARGET_IN"
	read -r -t 300 line <&"$TARGET_FD"
	[ "$line" = "done" ]
}

# Memory after a first part, and after four more of the same.
measure() { # ENGINE OUTPUT WHAT COUNT [OPTION...]
	local first descriptors

	need_root
	# start_target gives the code behind "-c"
	cat >churn-target <<-END
	#!/bin/sh
	shift
	exec $PYTHON $BATS_TEST_DIRNAME/churn.py "\$@"
	END
	chmod +x churn-target
	PYTHON_RUN=$WORK/churn-target start_target serve
	start_vizbpf --engine "$1" -p "$TARGET" -o "$2" "${@:5}"
	churn "$3" "$4"
	first=$("$BATS_TEST_DIRNAME/churn.py" memory "$TRACER")
	descriptors=$(find "/proc/$TRACER/fd" -mindepth 1 | wc -l)
	churn "$3" $(($4 * 4))
	echo "$1, $3, memory: $first KiB, then"
	"$BATS_TEST_DIRNAME/churn.py" bounded "$TRACER" $((first + ROOM))
	[ "$(find "/proc/$TRACER/fd" -mindepth 1 | wc -l)" -le $((descriptors + 2)) ]
	# one that ends while it is looked at is recorded all the same
	refute grep "only in part" messages
	if command -v bpftool >/dev/null; then
		"$BATS_TEST_DIRNAME/churn.py" empty "$TRACER" "$TARGET"
	fi
}

@test "eval: memory does not grow with the processes that have ended" {
	measure eval out.json forks 100
	stop_vizbpf
	"$BATS_TEST_DIRNAME/churn.py" check out.json $((500 * CHURN)) $((500 * CHURN))
}

@test "trampoline: memory does not grow with the processes that have ended" {
	measure trampoline out.json forks 100
	stop_vizbpf
	# of children that come faster than vizbpf can see others end, none are recorded
	"$BATS_TEST_DIRNAME/churn.py" check out.json $((500 * CHURN)) 50
}

@test "eval: memory does not grow with the threads that have ended" {
	measure eval out.json threads 1000
	stop_vizbpf
	[ "$(calls_of out.json child)" -eq $((5000 * CHURN)) ]
}

@test "trampoline: memory does not grow with the threads that have ended" {
	measure trampoline out.json threads 1000
	stop_vizbpf
	[ "$(calls_of out.json child)" -eq $((5000 * CHURN)) ]
}

@test "processes whose calls were all too short leave nothing in the kernel" {
	measure eval out.json forks 15 --min-duration 10s
	stop_vizbpf
	[ "$(calls_of out.json child)" -eq 0 ]
}

@test "a trace in Perfetto's format has all of those that have ended" {
	measure eval out.pftrace programs 15
	stop_vizbpf
	run_vizbpf convert out.pftrace out.json
	[ "$status" -eq 0 ]
	"$BATS_TEST_DIRNAME/churn.py" check out.json $((75 * CHURN)) $((75 * CHURN))
}
