#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What is lost is counted, also when the process is gone before anybody reads.

setup() {
	VIZBPF=${VIZBPF:-$BATS_TEST_DIRNAME/../../build/vizbpf}
	cd "$BATS_TEST_TMPDIR" || exit 1
	cat >lossy.py <<-'END'
		import sys
		def f(): pass
		sys.stdin.readline()
		for i in range(20000): f()
	END
	mkfifo go ready
}

@test "losses of a process that ends while the ring is full" {
	/usr/bin/python3 lossy.py <go 3>&- &
	target=$!
	exec 7>go
	"$VIZBPF" -q --engine eval -p "$target" -o out.json --ring-size 4K --ready-fd 8 8>ready 3>&- 7>&- &
	tracer=$!
	read -r -n 1 <ready
	# Nobody reads while the calls are made and the process ends.
	kill -STOP "$tracer"
	echo >&7
	exec 7>&-
	wait "$target"
	kill -CONT "$tracer"
	wait "$tracer"
	run jq '.vizbpf_metadata | [.lost > 0, .calls + .lost >= 20000]' -c out.json
	[ "$output" = '[true,true]' ]
}
