#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Reading traces without and with a browser: stats, tree, diff, top and view.

load helper

# main(0..1000) -> work(10..410) -> leaf(20..120), leaf(130..330); work(500..900) -> leaf(510..610)
# and, on another thread, a root call of a library that calls another one.
write_trace() { # FILE [FACTOR of leaf]
	"$PYTHON" - "$@" <<'PYTHON'
import json, sys
factor = float(sys.argv[2]) if len(sys.argv) > 2 else 1
events = [{"ph": "M", "pid": 7, "tid": 7, "name": "process_name", "args": {"name": "app.py"}}]
def call(name, begin, dur, tid=7):
    events.append({"ph": "X", "pid": 7, "tid": tid, "ts": 5e6 + begin, "dur": dur, "cat": "FEE",
                   "name": name})
call("leaf (/srv/app.py:3)", 20, 100 * factor)
call("leaf (/srv/app.py:3)", 130, 200 * factor)
call("work (/srv/app.py:5)", 10, 400)
call("leaf (/srv/app.py:3)", 510, 100 * factor)
call("work (/srv/app.py:5)", 500, 400)
call("main (/srv/app.py:9)", 0, 1000)
call("scan (/usr/lib/python3.11/json/scanner.py:40)", 12, 30, 8)
call("loads (/usr/lib/python3.11/json/__init__.py:299)", 10, 50, 8)
events += [{"ph": "M", "pid": 7, "tid": tid, "name": "thread_name", "args": {"name": name}}
           for tid, name in ((7, "MainThread"), (8, "reader-1"))]
with open(sys.argv[1], "w") as file:
    json.dump({"traceEvents": events}, file)
PYTHON
}

@test "stats: calls, total, self and percentiles of each function" {
	write_trace t.json
	run_vizbpf stats t.json --json
	[ "$status" -eq 0 ]
	jq -e '.calls == 8 and (.functions | length) == 5' stdout
	jq -e '.functions[] | select(.name == "main") | .total_ns == 1000000 and .self_ns == 200000' stdout
	jq -e '.functions[] | select(.name == "work") | .calls == 2 and .total_ns == 800000 and
		.self_ns == 400000 and .mean_ns == 400000 and .file == "/srv/app.py" and .line == 5' stdout
	jq -e '.functions[] | select(.name == "leaf") | .max_ns == 200000 and .min_ns == 100000 and
		.p50_ns < 105000' stdout
	[ "$(jq -r '.functions[0].name' stdout)" = work ] || [ "$(jq -r '.functions[0].name' stdout)" = leaf ]
}

@test "stats: --sort, --limit and --thread" {
	write_trace t.json
	run_vizbpf stats t.json --sort total --limit 1
	[ "$status" -eq 0 ]
	[[ ${output} == *"main"*"1 shown"* ]]
	refute grep -q leaf stdout
	run_vizbpf stats t.json --thread reader --json
	[ "$(jq -r '[.functions[].name] | sort | join(" ")' stdout)" = "loads scan" ]
	run_vizbpf stats t.json --thread 7 --json
	[ "$(jq '.calls' stdout)" -eq 6 ]
	run_vizbpf stats t.json --thread nobody
	assert_refused
	assert_contains "$errors" "8 reader-1"
}

@test "stats: wrong options and files are refused with one line" {
	write_trace t.json
	for arguments in "stats" "stats t.json --sort colour" "stats t.json --limit -3" \
		"stats t.json --colour" "stats t.json --limit" "stats nothing.json" "stats t.json u.json" \
		"tree" "tree t.json --min 200" "tree t.json --depth x" "diff t.json" "diff t.json nothing.json" \
		"diff t.json t.json --by colour" "view" "view nothing.json" "view t.json --port 99999" \
		"view /etc/passwd" "view /tmp" "top" "top --interval 0 -p 1" "top --sort x -p 1"; do
		run_vizbpf $arguments
		assert_refused
	done
	: >empty.json
	run_vizbpf view empty.json
	assert_refused
}

@test "stats: what can be read of a broken trace is shown, and where it breaks" {
	write_trace t.json
	head -c 700 t.json >broken.json
	run_vizbpf stats broken.json
	assert_failed
	assert_contains "$output" leaf
	assert_contains "$errors" byte
}

@test "a name cannot act on the terminal" {
	"$PYTHON" -c 'import json
name = "evil\x1b]0;owned\x07\x1b[2J\x9b31m\u202e (/srv/\x1b[31m.py:1)"
json.dump({"traceEvents": [{"ph": "X", "pid": 7, "tid": 7, "ts": 1, "dur": 5, "name": name},
	{"ph": "M", "pid": 7, "tid": 7, "name": "thread_name", "args": {"name": "t\x1b[31m"}}]},
	open("e.json", "w"))'
	for arguments in "stats e.json" "stats e.json --json" "tree e.json --all" "diff e.json e.json" \
		"diff e.json e.json --json" "stats e.json --thread x"; do
		run_vizbpf $arguments
		refute grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae' stdout
		refute grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]' messages
	done
	run_vizbpf stats e.json --json
	[ "$(jq -r '.functions[0].name' stdout | od -An -c | tr -d ' \n' | head -c 11)" = 'evil033]0;o' ]
}

@test "tree: callees under callers, calls of one function in one line" {
	write_trace t.json
	LC_ALL=C run_vizbpf tree t.json --limit 1
	[ "$status" -eq 0 ]
	grep -qE '^ *1\.00 ms 100\.0%  main  /srv/app\.py:9$' stdout
	grep -qE '^ *800 us  80\.0%  `- work  /srv/app\.py:5  x2$' stdout
	grep -qE '^ *400 us  40\.0%     `- leaf  /srv/app\.py:3  x3$' stdout
	refute grep -q loads stdout
}

@test "tree: library frames are folded, --all shows them" {
	write_trace t.json
	run_vizbpf tree t.json --thread reader-1
	grep -q 'loads  json/__init__.py:299  \[+1 library frame\]' stdout
	refute grep -q scan stdout
	run_vizbpf tree t.json --thread reader-1 --all
	grep -q 'scan  json/scanner.py:40' stdout
}

@test "diff: the function that became slower comes first, with its ratio" {
	write_trace a.json
	write_trace b.json 0.5
	run_vizbpf diff b.json a.json --json
	[ "$status" -eq 0 ]
	[ "$(jq -r '.functions[0] | "\(.before.total_ns) \(.after.total_ns)"' stdout)" = "200000 400000" ] ||
		[ "$(jq -r '.functions[0].name' stdout)" = work ]
	jq -e '.functions[] | select(.name == "leaf") | .change == 200000' stdout
	jq -e '.functions[] | select(.name == "work") | .change == -200000' stdout
	jq -e '.functions[] | select(.name == "main") | .change == 0' stdout
	run_vizbpf diff b.json a.json --by mean --limit 1
	grep -qE 'leaf' stdout
	grep -qE ' 2\.00x ' stdout
}

@test "top: live figures of a running process, without a terminal as tables" {
	need_root
	start_target "$BUSY"
	run_vizbpf top -p "$TARGET" -d 2.5 --interval 1
	[ "$status" -eq 0 ]
	[ "$(grep -c 'own%.*function' stdout)" -ge 2 ]
	grep -qE '^ *[0-9.]+ .* work ' stdout
	grep -qE '[1-9][0-9,]* calls/s' stdout
	refute grep -qP '\x1b' stdout
	end_target
}

@test "top: keys sort, reverse, pause and quit, and the terminal is given back" {
	need_root
	start_target "$BUSY"
	timeout 60 "$PYTHON" "$BATS_TEST_DIRNAME/top_keys.py" "$VIZBPF" top -p "$TARGET" --interval 0.5
	end_target
}

# Starts the viewer; URL is what it printed.
start_view() { # ARGUMENT...
	mkfifo "$WORK/url"
	env --default-signal=INT "$VIZBPF" view --no-browser "$@" >"$WORK/url" 2>"$WORK/messages" </dev/null 3>&- &
	TRACER=$!
	TRACERS="$TRACERS $TRACER"
	read -r -t 20 URL <"$WORK/url" || {
		rm -f "$WORK/url"
		return 1
	}
	rm -f "$WORK/url"
}

fetch() { # CURL-ARGUMENT...
	curl -s -o body -w '%{http_code}' "$@"
}

@test "view: the trace by an unguessable path, on 127.0.0.1 only, GET and HEAD only" {
	need curl
	write_trace t.json
	start_view t.json --port 0
	[[ $URL =~ ^http://127\.0\.0\.1:([0-9]+)/[0-9a-f]{32}/open\.html$ ]]
	port=${BASH_REMATCH[1]}
	[ "$(fetch "${URL%open.html}t.json")" = 200 ]
	cmp body t.json
	[ "$(fetch -I "${URL%open.html}t.json")" = 200 ]
	[ "$(fetch "http://127.0.0.1:$port/")" = 404 ]
	[ "$(fetch "http://127.0.0.1:$port/t.json")" = 404 ]
	[ "$(fetch --path-as-is "${URL%open.html}../../../etc/passwd")" = 404 ]
	[ "$(fetch -X POST "${URL%open.html}t.json")" = 405 ]
	[ "$(fetch -X OPTIONS "${URL%open.html}t.json")" = 405 ]
	# no other address of this machine answers
	need ss
	[ "$(ss -Hltn "sport = :$port" | awk '{print $4}')" = "127.0.0.1:$port" ]
	stop_vizbpf
}

@test "view: the Host must be ours, and only Perfetto may read across origins" {
	need curl
	write_trace t.json
	start_view t.json --port 0
	trace=${URL%open.html}t.json
	[ "$(fetch -H 'Host: evil.example' "$trace")" = 421 ]
	[ "$(fetch -H 'Origin: https://evil.example' "$trace")" = 403 ]
	refute grep -q traceEvents body
	curl -s -D headers -o body -H 'Origin: https://ui.perfetto.dev' "$trace"
	grep -qi '^access-control-allow-origin: https://ui.perfetto.dev' headers
	curl -s -D headers -o body "$trace"
	refute grep -qi '^access-control-allow-origin' headers
	stop_vizbpf
}

@test "view: requests that are broken, endless or slow do no harm" {
	write_trace t.json
	start_view t.json --port 0
	"$PYTHON" - "$URL" <<'PYTHON'
import socket, sys, urllib.parse
url = urllib.parse.urlparse(sys.argv[1])
def ask(data):
    with socket.create_connection((url.hostname, url.port), 20) as s:
        try:
            s.sendall(data)
            return s.recv(100).split(b"\r\n")[0].decode()
        except ConnectionResetError:
            return "reset"
idle = [socket.create_connection((url.hostname, url.port)) for _ in range(20)]
assert ask(b"GET /" + b"a" * 20000) == "HTTP/1.1 431 Request Header Fields Too Large"
assert ask(b"\0\1\2\r\n\r\n") == "HTTP/1.1 400 Bad Request"
assert ask(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n") == "HTTP/1.1 400 Bad Request"
for _ in range(50):		# gone in the middle
    s = socket.create_connection((url.hostname, url.port))
    s.sendall(b"GET %s HTTP/1.1\r\n" % url.path.encode())
    s.close()
host = ("%s:%d" % (url.hostname, url.port)).encode()
answer = ask(b"GET " + url.path.encode() + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
assert answer == "HTTP/1.1 200 OK", answer
PYTHON
	stop_vizbpf
}

@test "view: --once ends when the trace was fetched, the deep link names port 9001" {
	need curl
	write_trace "a b'c.json"
	start_view "a b'c.json" --once || skip "port 9001 is in use"
	[[ $URL =~ ^https://ui\.perfetto\.dev/#!/\?url=http://127\.0\.0\.1:9001/[0-9a-f]{32}/a_b_c\.json$ ]]
	[ "$(fetch "${URL#*url=}")" = 200 ]
	wait "$TRACER"
}

@test "view: a port that is in use is named" {
	need curl
	write_trace t.json
	start_view t.json --port 0
	[[ $URL =~ :([0-9]+)/ ]]
	run_vizbpf view t.json --port "${BASH_REMATCH[1]}"
	assert_refused
	assert_contains "$errors" "127.0.0.1:${BASH_REMATCH[1]}"
	stop_vizbpf
}

@test "view: root behind sudo is given up, the browser runs as the user" {
	need_root
	need curl
	write_trace t.json
	chmod 600 t.json
	user=$(id -u nobody)
	cat >browser <<-EOF
		#!/bin/sh
		id -u >"$WORK/browser-user"
		echo "\$1" >"$WORK/browser-url"
	EOF
	chmod 755 browser .
	: >browser-user && : >browser-url && chmod 666 browser-user browser-url
	mkfifo url
	SUDO_UID=$user SUDO_GID=$(id -g nobody) SUDO_USER=nobody BROWSER=$WORK/browser \
		env --default-signal=INT "$VIZBPF" view t.json --port 0 >url 2>messages </dev/null 3>&- &
	TRACER=$!
	TRACERS="$TRACERS $TRACER"
	read -r -t 20 URL <url
	[ "$(awk '/^Uid:/ {print $2, $3, $4, $5}' "/proc/$TRACER/status")" = "$user $user $user $user" ]
	[ "$(awk '/^CapEff:/ {print $2}' "/proc/$TRACER/status")" = 0000000000000000 ]
	# it was opened before, and can still be served
	[ "$(fetch "${URL%open.html}t.json")" = 200 ]
	cmp body t.json
	for _ in $(seq 100); do
		[ -s browser-url ] && break
		read -r -t 0.1 _ <>"$WORK/url" || true
	done
	[ "$(cat browser-user)" = "$user" ]
	[ "$(cat browser-url)" = "$URL" ]
	stop_vizbpf
}

@test "view --offline: without the bundled viewer a page of our own; what that cannot show is said" {
	need curl
	write_trace t.json
	VIZBPF_VIEWER=$WORK/none start_view t.json --offline --port 0
	[[ $URL =~ /trace\.html$ ]]
	[ "$(fetch "$URL")" = 200 ]
	grep -q 'vizbpf timeline' body
	stop_vizbpf
	"$VIZBPF" convert -q t.json t.folded
	VIZBPF_VIEWER=$WORK/none run_vizbpf view t.folded --port 0 --no-browser
	assert_refused
	assert_contains "$errors" "make viewer"
}

@test "stats, tree, diff and convert take far less memory than the trace is large" {
	"$PYTHON" - <<'PYTHON'
with open("big.json", "w") as file:
    file.write('{"traceEvents":[{"ph":"M","pid":7,"tid":7,"name":"process_name","args":{"name":"a"}}')
    for i in range(150000):
        at = 1000000 + i * 40
        for name, begin, dur in (("leaf", 3, 4), ("leaf", 8, 5), ("work", 2, 20), ("main", 0, 30)):
            file.write(',\n{"ph":"X","pid":7,"tid":%d,"ts":%d.125,"dur":%d.5,"cat":"FEE","name":'
                       '"%s%d (/srv/app/of/some/usual/length/%s.py:12)"}'
                       % (7 + i // 1000 % 5, at + begin, dur, name, i % 97, name))
    file.write("]}\n")
PYTHON
	[ "$(stat -c %s big.json)" -gt 72000000 ]
	"$VIZBPF" convert -q big.json big.pftrace
	for arguments in "stats big.json" "tree big.json" "diff big.json big.pftrace" \
		"convert -q big.json out.json.gz" "convert -q big.pftrace out.json" \
		"convert -q big.json out.svg" "convert -q big.json out.html"; do
		# shellcheck disable=SC2086
		peak=$("$PYTHON" -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$VIZBPF" $arguments)
		echo "$arguments: $peak KB"
		[ "$peak" -lt 40000 ]
	done
}
