# SPDX-License-Identifier: Apache-2.0
"""Writes the Chrome trace that the browser tests open: a known number of calls on three threads,
with names that are markup, and metadata as vizbpf writes it."""
import json
import sys

HOSTILE = "<img src=x onerror=\"document.title='owned'\">&amp;</script><script>document.title='owned'</script>"


def span(events, tid, name, begin, dur, args=None):
    event = {"ph": "X", "pid": 4100, "tid": tid, "ts": 1739344614.0 + begin, "dur": dur, "cat": "FEE",
             "name": name}
    if args:
        event["args"] = args
    events.append(event)


def thread(events, tid, requests):
    at = 0
    for i in range(requests):
        begin = at
        at += 3
        for step in ("parse", "query", "render"):
            inner = at
            for k in range(4):
                span(events, tid, "Row.cell (/srv/app/rows.py:%d)" % (7 + k), at + 1, 4 + k % 3)
                at += 8
            span(events, tid, "Request.%s (/srv/app/request.py:12)" % step, inner, at - inner + 2)
            at += 4
        span(events, tid, "handle_request (/srv/app/server.py:31)", begin, at - begin,
             {"unfinished": True} if i == requests - 1 else None)
        at += 5
    span(events, tid, HOSTILE + " (/srv/<b>app</b>.py:1)", at, 50)
    span(events, tid, "worker_main (/srv/app/server.py:5)", -2, at + 60)


def main():
    events = [{"ph": "M", "pid": 4100, "tid": 4100, "name": "process_name",
               "args": {"name": "python3 server.py <i>x</i>"}}]
    for tid, name in ((4100, "MainThread"), (4101, "worker-1"), (4102, HOSTILE)):
        events.append({"ph": "M", "pid": 4100, "tid": tid, "name": "thread_name",
                       "args": {"name": name}})
        thread(events, tid, 40)
    events.append({"ph": "i", "pid": 4100, "tid": 4101, "ts": 1739344900.0, "s": "t",
                   "cat": "INSTANT", "name": "checkpoint"})
    events.append({"ph": "C", "pid": 4100, "tid": 4101, "ts": 1739344901.0, "name": "queue",
                   "args": {"waiting": 3}})
    document = {"traceEvents": events, "viztracer_metadata": {"version": "0", "overflow": False,
                "baseTimeNanoseconds": 0}, "vizbpf_metadata": {"version": "test"},
                # what Perfetto has to skip in the protobuf
                "file_info": {"files": {"/srv/app/server.py": ["import os\n" * 99, 99]},
                              "functions": {}}}
    with open(sys.argv[1], "w") as file:
        json.dump(document, file)
    print(sum(event["ph"] == "X" for event in events))


main()
