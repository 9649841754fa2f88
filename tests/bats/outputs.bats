# SPDX-License-Identifier: Apache-2.0
# The formats: convert and combine, and what becomes of files that are in the way.

load helper

# A trace as VizTracer writes it: two threads, nested calls, arguments.
make_trace() { # FILE PID CALLS
	"$PYTHON" - "$@" <<'PYTHON'
import json, sys
path, pid, calls = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
events = [{"ph": "M", "pid": pid, "tid": pid, "name": "process_name", "args": {"name": "app é"}},
          {"ph": "M", "pid": pid, "tid": pid + 1, "name": "thread_name", "args": {"name": "w\"1"}}]
for tid in pid, pid + 1:
    for i in range(calls // 4):
        at = 1000 + i * 10
        events.append({"ph": "X", "pid": pid, "tid": tid, "ts": at + 2.25, "dur": 1.125,
                       "name": "leaf%d (/srv/app/leaf.py:%d)" % (i % 7, i % 7 + 1), "cat": "fee"})
        events.append({"ph": "X", "pid": pid, "tid": tid, "ts": at, "dur": 5.5,
                       "name": "Cls.work (/srv/app/work.py:3)", "cat": "fee"})
json.dump({"traceEvents": events, "viztracer_metadata":
           {"version": "1.1.1", "overflow": False, "baseTimeNanoseconds": 1700000000000000000 + pid}},
          open(path, "w"))
PYTHON
}

# Every call of a trace, sorted.
calls_of() {
	jq -c '.traceEvents[] | select(.ph == "X") | [.pid, .tid, .ts, .dur, .name]' "$1" | sort
}

@test "convert: JSON, gzip and protobuf hold the same calls" {
	make_trace a.json 41 4000
	for name in b.json b.json.gz b.pftrace b.pftrace.gz; do
		"$VIZBPF" convert -q a.json "$name"
		"$VIZBPF" convert -q "$name" back.json
		diff <(calls_of a.json) <(calls_of back.json)
		# jq's numbers are too small for this one
		grep -q '"baseTimeNanoseconds":1700000000000000041[,}]' back.json
		[ "$(jq -r '[.traceEvents[] | select(.ph == "M") | .args.name] | sort | join(",")' back.json)" = 'app é,w"1' ]
	done
	[ "$(stat -c %s b.json)" -gt $(($(stat -c %s b.pftrace) * 5)) ]
}

@test "convert: flame graph, folded stacks, speedscope and page" {
	make_trace a.json 41 400
	for suffix in folded svg speedscope.json html; do
		VIZBPF_VIEWER=$WORK/none "$VIZBPF" convert -q a.json "b.$suffix"
	done
	# 100 calls a thread of 5.5 us, 1.125 of them in a leaf: own time in ns
	[ "$(awk '$0 ~ /work.py:3\) [0-9]+$/ { n = $NF } END { print n }' b.folded)" = 875000 ]
	[ "$(awk '{ n += $NF } END { print n }' b.folded)" = 1100000 ]
	"$PYTHON" -c 'import xml.dom.minidom as x; x.parse("b.svg")'
	[ "$(jq '[.profiles[].events | length] | add' b.speedscope.json)" = 800 ]
	grep -q '<script type="application/octet-stream" id="trace">H4sI' b.html
	# what the page holds is the trace
	grep -o 'id="trace">[^<]*' b.html | cut -d'>' -f2 | base64 -d | gzip -dc >inner.json
	diff <(calls_of a.json) <(calls_of inner.json)
}

@test "convert: the page has the bundled viewer in it where there is one" {
	make_trace a.json 41 400
	mkdir viewer
	echo 'let a = "<b>";' >viewer/speedscope-AB12.js
	echo '@font-face { src: url("./F.woff2") } b {}' >viewer/speedscope-CD34.css
	printf 'font' >viewer/F.woff2
	VIZBPF_VIEWER=$WORK/viewer "$VIZBPF" convert -q a.json b.html
	grep -qF 'let a = "<b>";' b.html
	grep -qF 'src: url(data:font/woff2;base64,Zm9udA==) }' b.html
	grep -o 'id="trace">[^<]*' b.html | cut -d'>' -f2 | base64 -d | gzip -dc >inner.json
	[ "$(jq '[.profiles[].events | length] | add' inner.json)" = 800 ]
	# half a viewer is none
	rm viewer/speedscope-CD34.css
	VIZBPF_VIEWER=$WORK/viewer "$VIZBPF" convert -q a.json b.html
	refute grep -qF 'let a = "<b>";' b.html
	grep -q 'vizbpf timeline' b.html
}

@test "convert: by pipes" {
	make_trace a.json 41 400
	"$VIZBPF" convert -q - - <a.json | jq -e '.traceEvents | length == 402'
	"$VIZBPF" convert -q <(gzip -c a.json) >(cat >piped.json)
	wait
	"$VIZBPF" convert -q a.json /dev/null
}

@test "convert: what is broken is named by its place, and what comes before it is kept" {
	make_trace a.json 41 4000
	head -c 100000 a.json >cut.json
	run "$VIZBPF" convert cut.json out.json
	[ "$status" -eq 1 ]
	[[ "$output" == *"cut.json: byte 100000: the file ends in the middle"* ]]
	[ "$(jq '[.traceEvents[] | select(.ph == "X")] | length' out.json)" -gt 500 ]
	sed 's/"ph": "X"/"ph" "X"/' a.json >bad.json
	run "$VIZBPF" convert bad.json out.json
	[ "$status" -eq 1 ]
	[[ "$output" == *"bad.json: byte "*": broken event"* ]]
	echo '{"nodes": []}' >other.json
	run "$VIZBPF" convert other.json new.json
	[ "$status" -eq 1 ]
	[[ "$output" == 'vizbpf: other.json: byte 13: this is no trace: no "traceEvents" in it' ]]
	[ ! -e new.json ]
	echo '[{"ph": "X", "pid": 1, "tid": 1, "ts": null, "dur": 1, "name": "f"}]' >null.json
	run "$VIZBPF" convert null.json out.json
	[ "$status" -eq 0 ]
	[[ "$output" == *"null.json: 1 event without a readable ph, ts, dur or name left out, the first at byte 1"* ]]
	echo precious >keep.json
	run "$VIZBPF" convert /dev/null keep.json
	[ "$status" -eq 1 ]
	[ "$(cat keep.json)" = precious ]
}

@test "convert: an unknown suffix, a link and a directory are refused" {
	make_trace a.json 41 40
	run "$VIZBPF" convert a.json b.txt
	[ "$status" -eq 1 ]
	[[ "$output" == *"unknown suffix .txt: one of .json"* ]]
	ln -s target link.json
	mkdir dir.json
	run "$VIZBPF" convert a.json link.json
	[ "$status" -eq 1 ]
	[[ "$output" == *"symbolic link"* ]]
	[ ! -e target ]
	run "$VIZBPF" convert a.json dir.json
	[ "$status" -eq 1 ]
	[[ "$output" == *"directory"* ]]
	run "$VIZBPF" convert a.json
	[ "$status" -eq 2 ]
	# nothing half-written stays
	[ -z "$(find . -name '*.part')" ]
}

@test "combine: one clock for all, processes with one number kept apart" {
	make_trace a.json 41 40
	make_trace b.json 1041 40
	"$VIZBPF" combine -q a.json b.json -o c.json
	# jq's numbers are too small for this one
	grep -q '"baseTimeNanoseconds":1700000000000000041[,}]' c.json
	# b's clock is 1000 ns ahead
	[ "$(jq '[.traceEvents[] | select(.ph == "X" and .pid == 41) | .ts] | min' c.json)" = 1000 ]
	[ "$(jq '[.traceEvents[] | select(.ph == "X" and .pid == 1041) | .ts] | min' c.json)" = 1001 ]
	"$VIZBPF" combine -q a.json b.json --align_start -o c.json
	[ "$(jq '[.traceEvents[] | select(.ph == "X" and .pid == 1041) | .ts] | min' c.json)" = 1000 ]
	"$VIZBPF" combine -q a.json a.json -o c.json
	[ "$(jq '[.traceEvents[] | select(.ph == "X")] | length' c.json)" = 80 ]
	[ "$(jq '[.traceEvents[] | select(.ph == "X") | .pid] | unique | length' c.json)" = 2 ]
	run "$VIZBPF" combine a.json
	[ "$status" -eq 2 ]
}

# Everything that is not a call, of each kind that the Chrome format has.
make_events() { # FILE
	"$PYTHON" - "$1" <<'PYTHON'
import json, sys
here, other = {"pid": 7, "tid": 8}, {"pid": 7, "tid": 9}
events = [
    dict(here, ph="i", ts=10.5, cat="INSTANT", name="all", s="g", args={"a": [1, {"c": "x"}]}),
    dict(here, ph="i", ts=11.5, cat="INSTANT", name="process", s="p"),
    dict(here, ph="i", ts=11.625, cat="mine", name="thread", s="t", args={"é\n": None, "f": 1.5}),
    dict(here, ph="i", ts=12, cat="INSTANT", name="many", s="t",
         args={"k%d" % i: i for i in range(40)}),
    dict(here, ph="C", ts=12, name="memory", args={"rss": 12345678901234567, "heap": 1.25}),
    dict(other, ph="C", ts=12.25, name="memory", args={"rss": 3}),
    dict(here, ph="X", ts=13, dur=4, cat="span", name="request", args={"url": "/x"}),
    dict(here, ph="X", ts=14, dur=1, cat="span", name="inner"),
    dict(here, ph="b", ts=20, cat="async", id="0x10", name="job"),
    dict(here, ph="e", ts=25, cat="async", id="0x10", name="job", args={"ok": True}),
    dict(here, ph="s", ts=30, cat="flow", id="0x22", name="f"),
    dict(other, ph="t", ts=31, cat="flow", id="0x22", name="f"),
    dict(other, ph="f", ts=32, cat="flow", id="0x22", name="f", bp="e"),
    dict(here, ph="N", ts=40, cat="object", id="0x5", name="Obj"),
    dict(here, ph="O", ts=41, cat="object", id="0x5", name="Obj", args={"snapshot": {"a": 1}}),
    dict(here, ph="D", ts=42, cat="object", id="0x5", name="Obj"),
    dict(here, ph="X", ts=1, dur=100, name="main (/a.py:1)", args={"return_value": "3"}),
    # of a call, its category tells that it is one of a C function
    dict(here, ph="X", ts=2, dur=1, cat="FEE", name="builtins.len"),
]
json.dump({"traceEvents": events}, open(sys.argv[1], "w"))
PYTHON
}

@test "convert: what is no call stays what it was, by JSON and by protobuf" {
	make_events a.json
	for name in b.json b.json.gz b.pftrace; do
		"$VIZBPF" convert -q a.json "$name"
		"$VIZBPF" convert -q "$name" back.json
		"$PYTHON" - a.json back.json <<'PYTHON'
import json, sys
a, b = ([json.dumps(e, sort_keys=True) for e in json.load(open(name))["traceEvents"]
         if e["ph"] != "M"] for name in sys.argv[1:])
assert sorted(json.dumps(json.loads(e, parse_int=float), sort_keys=True) for e in a) == \
    sorted(json.dumps(json.loads(e, parse_int=float), sort_keys=True) for e in b), (a, b)
assert any("12345678901234567" in e for e in b), "an exact integer"
PYTHON
	done
}

@test "convert, combine: sources stay with the trace" {
	make_trace a.json 41 40
	"$PYTHON" - <<'PYTHON'
import json
trace = json.load(open("a.json"))
trace["file_info"] = {
    "files": {"/srv/app/work.py": ["def a():\n    return \"é\\\\\"\n", 2],
              "/srv/app/leaf.py": ["x = '\U0001f600'\n" * 3000, 3000],
              "/never/called.py": ["pass", 1]},
    "functions": {"Cls.work (/srv/app/work.py:3)": ["/srv/app/work.py", 3]}}
json.dump(trace, open("a.json", "w"))
PYTHON
	"$VIZBPF" convert -q a.json b.json
	"$VIZBPF" combine -q b.json a.json -o c.json.gz
	"$VIZBPF" convert -q c.json.gz d.json
	"$VIZBPF" convert -q c.json.gz p.pftrace
	"$VIZBPF" combine -q p.pftrace -o q.pftrace
	"$VIZBPF" convert -q q.pftrace r.json
	for name in b.json d.json r.json; do
		[ "$(jq -r '.file_info.files | keys | join(" ")' $name)" = "/srv/app/leaf.py /srv/app/work.py" ]
		diff <(jq '.file_info.files["/srv/app/work.py", "/srv/app/leaf.py"]' a.json) \
			<(jq '.file_info.files["/srv/app/work.py", "/srv/app/leaf.py"]' $name)
		[ "$(jq '.file_info.functions["Cls.work (/srv/app/work.py:3)"][1]' $name)" = 3 ]
	done
	"$VIZBPF" convert -q --no_sources a.json h.json
	[ "$(jq 'has("file_info")' h.json)" = false ]
	"$VIZBPF" convert -q --no_sources p.pftrace h.json
	[ "$(jq 'has("file_info")' h.json)" = false ]
	# a trace without sources gets none
	make_trace e.json 41 40
	"$VIZBPF" convert -q e.json f.json
	[ "$(jq 'has("file_info")' f.json)" = false ]
	# one that breaks off in the middle of a source is named, and its calls are there
	head -c $(($(stat -c %s a.json) - 3000)) a.json >cut.json
	run "$VIZBPF" convert cut.json g.json
	[ "$status" -eq 1 ]
	[[ "$output" == *"cut.json: byte "*": the file ends in the middle"* ]]
	[ "$(jq '[.traceEvents[] | select(.ph == "X")] | length' g.json)" = 40 ]
}

@test "sizes of a real recording: 12 bytes a call in gzip and protobuf, 76 and the name in JSON" {
	need_root
	cat >program.py <<'PYTHON'
import ast, json, time
data = {"a": [{"b": i, "c": str(i) * 3} for i in range(20)]}
end = time.time() + 1
while time.time() < end:
    json.loads(json.dumps(data, indent=1))
    ast.literal_eval("[1, 2, {'a': 3}]")
    ast.dump(ast.parse("def f(x):\n    return [i * 2 for i in x if i > 3]\n" * 5))
PYTHON
	"$VIZBPF" -q --no-sources -o a.json -- "$PYTHON" program.py
	calls=$(grep -c '"ph":"X"' a.json)
	names=$(grep '"ph":"X"' a.json | sed 's/.*"name":"//; s/"[^"]*$//' | wc -c)
	[ "$calls" -gt 5000 ]
	echo "a.json: $(($(stat -c %s a.json) * 10 / calls)) tenths of a byte a call"
	# without names (sed left their newlines) and metadata; a line of flags is longer
	[ "$(grep '"ph":"X"' a.json | grep -v '"args"' | wc -c)" -le $((calls * 76 + names)) ]
	for name in b.json.gz b.pftrace; do
		"$VIZBPF" convert -q a.json $name
		echo "$name: $(($(stat -c %s $name) * 10 / calls)) tenths of a byte a call"
		[ "$(stat -c %s $name)" -le $((calls * 12)) ]
	done
}

@test "Ctrl-C ends the recording, whatever is written" {
	start_target "$BUSY"
	for name in a.json.gz a.pftrace a.pftrace.gz a.folded a.svg a.speedscope.json a.html; do
		start_vizbpf -p "$TARGET" -o "$name"
		stop_vizbpf
		[ -s "$name" ]
	done
	for name in a.json.gz a.pftrace a.pftrace.gz; do
		# whether a call was made in that moment is another matter
		"$VIZBPF" convert -q "$name" back.json
		[ "$(jq '.vizbpf_metadata.processes[0].pid' back.json)" = "$TARGET" ]
	done
}
