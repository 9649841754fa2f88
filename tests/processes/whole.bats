#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# -a: every Python process of the host, and those that start while it records.

load ../bats/helper

HERE=$BATS_TEST_DIRNAME

# Five interpreters of different versions, or as many as there are, under a name that nobody
# else on this machine runs: what others do is left alone (--comm).
NAME=vizbpf-mark

interpreters() {
	local one number=0

	for one in "$PYTHON" "$HOME"/.pyenv/versions/3.{6,8,10,11,12,13}.*/bin/python3; do
		[ -x "$one" ] || continue
		number=$((number + 1))
		mkdir -p "$WORK/bin.$number"
		ln -s "$one" "$WORK/bin.$number/$NAME"
		echo "$WORK/bin.$number/$NAME"
	done | head -5
}

# Every process of the list PID STATUS ended well and has at least $2 of its $3 calls.
assert_none_missed() { # TRACE AT_LEAST COUNT
	local pid status got missed=0 part=0

	"$HERE/trace.py" "$1" calls marker >calls
	while read -r pid status; do
		[ "$status" -eq 0 ]
		got=$(awk -v pid="$pid" '$1 == pid { print $2 }' calls)
		if [ -z "$got" ]; then
			missed=$((missed + 1))
		elif [ "$got" -lt "$2" ]; then
			part=$((part + 1))
		fi
	done <list
	echo "$(wc -l <list) processes, $missed missed, $part with less than $2 of $3 calls"
	[ "$missed" -eq 0 ]
	[ "$part" -eq 0 ]
}

@test "200 processes of five versions that start and end: none missed, none harmed" {
	need_root
	mapfile -t pythons < <(interpreters)
	[ "${#pythons[@]}" -ge 2 ] || skip "only one Python version"
	start_vizbpf -q -a --comm "$NAME" -o a.json
	"$HERE/whole.py" 200 100 "${pythons[@]}" >list 3>&-
	stop_vizbpf
	valid_json a.json
	[ "$(wc -l <list)" -eq 200 ]
	assert_none_missed a.json 100 100
}

@test "processes that run already are found, whoever started them" {
	need_root
	PYTHON_RUN=$(interpreters | head -1)
	start_target "$BUSY"
	first=$TARGET
	start_target "$BUSY"
	start_vizbpf -q -a --comm "$NAME" -o a.json
	stop_vizbpf
	[ "$("$HERE/trace.py" a.json processes | cut -d' ' -f1 | sort -n)" = \
		"$(printf '%s\n' "$first" "$TARGET" | sort -n)" ]
	[ "$(calls_of a.json leaf)" -gt 0 ]
}

@test "--user and --exclude-pid narrow it" {
	need_root
	chmod 755 .
	PYTHON_RUN=$(interpreters | head -1)
	start_target "$BUSY"
	mine=$TARGET
	cat >as-nobody <<END
#!/bin/sh
exec setpriv --reuid=$(id -u nobody) --regid=$(id -g nobody) --clear-groups $PYTHON_RUN "\$@"
END
	chmod -R a+rx .
	PYTHON_RUN=$WORK/as-nobody start_target "$BUSY"
	theirs=$TARGET

	start_vizbpf -q -a --user nobody --comm "$NAME" -o a.json
	stop_vizbpf
	[ "$("$HERE/trace.py" a.json processes | cut -d' ' -f1)" = "$theirs" ]

	start_vizbpf -q -a --exclude-pid "$theirs" --comm "$NAME" -o a.json
	stop_vizbpf
	[ "$("$HERE/trace.py" a.json processes | cut -d' ' -f1)" = "$mine" ]

	start_vizbpf -q -a --comm 'vizbpf-m[a-z]r*' -o a.json
	stop_vizbpf
	[ "$("$HERE/trace.py" a.json processes | wc -l)" = 2 ]
}

@test "--user holds for processes that start later, too" {
	need_root
	chmod 755 .
	start_vizbpf -q -a --user nobody -o a.json
	"$PYTHON" -c 'def marker(): pass
marker()'
	setpriv --reuid="$(id -u nobody)" --regid="$(id -g nobody)" --clear-groups "$PYTHON" -S -c '
def marker(): pass
for i in range(7): marker()' 3>&-
	stop_vizbpf
	[ "$("$HERE/trace.py" a.json calls marker | cut -d' ' -f2)" = 7 ]
}
