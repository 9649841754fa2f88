# SPDX-License-Identifier: Apache-2.0
"""usage: compare.py TRACE TRUTH DEPTH

Whether the calls in the trace are those of the program's functions with fewer than DEPTH (0: any
number of) frames around them. Says which are not, with status 1.
"""
import collections
import json
import sys

trace, truth, depth = sys.argv[1], sys.argv[2], int(sys.argv[3])
want = {}
for line in open(truth):
    if line.startswith("{"):
        for name, counts in json.loads(line).items():
            want[name] = sum(n for d, n in counts.items() if not depth or int(d) < depth)
got = collections.Counter(event["name"].split(" (")[0] for event in json.load(open(trace))["traceEvents"]
                          if event["ph"] == "X" and "program.py" in event["name"])
wrong = ["%s: %d calls, %d in the trace" % (name, n, got[name])
         for name, n in sorted(want.items()) if n != got[name]]
print("\n".join(wrong))
sys.exit(1 if wrong or not want else 0)
