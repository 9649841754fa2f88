#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a trace says about processes, one line each, for the BATS files.

    trace.py FILE calls FUNCTION      PID COUNT        completed calls, by process
    trace.py FILE processes           PID PARENT PYTHON ENGINE LOST NAME
    trace.py FILE label PID KEY       a member of the process's entry in the metadata
    trace.py FILE threads PID         the names of its threads
    trace.py FILE first PID           the name of the function that began first
"""
import collections
import json
import sys


def main(path, what, *rest):
    with open(path, encoding="utf-8") as file:
        trace = json.load(file)
    events = trace["traceEvents"]
    processes = trace["vizbpf_metadata"]["processes"]
    if what == "calls":
        counts = collections.Counter(
            e["pid"] for e in events
            if e["ph"] == "X" and e["name"].startswith(rest[0] + " ("))
        for pid, count in sorted(counts.items()):
            print(pid, count)
    elif what == "processes":
        for p in processes:
            print(p["pid"], p.get("parent", 0), p["python"], p["engine"], p["lost"], p["name"])
    elif what == "label":
        for p in processes:
            if p["pid"] == int(rest[0]):
                print(p.get(rest[1], ""))
    elif what == "threads":
        names = {}
        for e in events:
            if e["ph"] == "M" and e["name"] == "thread_name" and e["pid"] == int(rest[0]):
                names[e["tid"]] = e["args"]["name"]
        for name in sorted(names.values()):
            print(name)
    elif what == "first":
        mine = [e for e in events if e["ph"] == "X" and e["pid"] == int(rest[0])]
        print(min(mine, key=lambda e: (e["ts"], -e["dur"]))["name"].split(" (")[0])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
