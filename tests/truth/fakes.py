# SPDX-License-Identifier: Apache-2.0
"""Ways in which a trace can be wrong: each changes a right document."""

BREAKS = {}


def breaks(function):
    BREAKS[function.__name__.replace("_", "-")] = function
    return function


def names():
    return set(BREAKS)


def inner(events, name="leaf ("):
    """Events of the program between the markers, not the markers."""
    return [e for e in events if e["ph"] == "X" and e["name"].startswith(name)]


@breaks
def drop_call(doc):
    doc["traceEvents"].remove(inner(doc["traceEvents"])[3])


@breaks
def extra_call(doc):
    event = dict(inner(doc["traceEvents"])[3])
    event["ts"] += event["dur"] // 3
    event["dur"] //= 3
    doc["traceEvents"].append(event)


@breaks
def wrong_name(doc):
    event = inner(doc["traceEvents"])[3]
    event["name"] = "leak (" + event["name"].split(" (", 1)[1]


@breaks
def wrong_line(doc):
    event = inner(doc["traceEvents"])[3]
    event["name"] = event["name"][:-1] + "1)"


@breaks
def wrong_file(doc):
    event = inner(doc["traceEvents"])[3]
    event["name"] = event["name"].replace("/programs/", "/programs/x")


@breaks
def swapped(doc):
    # The first call and the third of one caller exchange their names: same calls, same edges
    # only as long as they have the same caller.
    events = inner(doc["traceEvents"], "left (")
    other = inner(doc["traceEvents"], "right (")
    events[0]["name"], other[0]["name"] = other[0]["name"], events[0]["name"]


@breaks
def wrong_parent(doc):
    # A callee is moved out of its caller, to directly after it.
    events = doc["traceEvents"]
    leaf = inner(events)[3]
    parent = [e for e in events if e["ph"] == "X" and e["tid"] == leaf["tid"] and
              e["name"].startswith("middle (") and
              e["ts"] <= leaf["ts"] <= e["ts"] + e["dur"]][0]
    end = parent["ts"] + parent["dur"]
    parent["dur"] = leaf["ts"] - parent["ts"]
    leaf["dur"] = min(leaf["dur"], end - leaf["ts"])


@breaks
def wrong_thread(doc):
    event = inner(doc["traceEvents"])[3]
    event["tid"] += 1
    doc["traceEvents"].append({"ph": "M", "pid": event["pid"], "tid": event["tid"],
                               "name": "thread_name", "args": {"name": "other"}})


@breaks
def negative(doc):
    inner(doc["traceEvents"])[3]["dur"] = -5


@breaks
def overlap(doc):
    events = doc["traceEvents"]
    leaf = inner(events)[3]
    parent = min((e for e in events if e["ph"] == "X" and e["name"].startswith("middle (") and
                  e["ts"] <= leaf["ts"] < e["ts"] + e["dur"]), key=lambda e: e["dur"])
    leaf["dur"] = parent["ts"] + parent["dur"] - leaf["ts"] + 10


@breaks
def early(doc):
    inner(doc["traceEvents"])[0]["ts"] -= 10 ** 13


@breaks
def no_marker(doc):
    doc["traceEvents"] = [e for e in doc["traceEvents"]
                          if not e["name"].startswith("truth_begin_")]


@breaks
def two_markers(doc):
    doc["traceEvents"] += [dict(e) for e in doc["traceEvents"]
                           if e["name"].startswith("truth_begin_")]


@breaks
def other_pid(doc):
    inner(doc["traceEvents"])[0]["pid"] += 1


@breaks
def no_thread_name(doc):
    doc["traceEvents"] = [e for e in doc["traceEvents"] if e["name"] != "thread_name"]


@breaks
def no_process_name(doc):
    doc["traceEvents"] = [e for e in doc["traceEvents"] if e["name"] != "process_name"]


@breaks
def lost(doc):
    doc["vizbpf_metadata"]["lost"] = 3


@breaks
def other_engine(doc):
    doc["vizbpf_metadata"]["processes"][0]["engine"] = "guess"


@breaks
def no_metadata(doc):
    del doc["vizbpf_metadata"]


@breaks
def no_base_time(doc):
    del doc["viztracer_metadata"]["baseTimeNanoseconds"]


@breaks
def empty(doc):
    doc["traceEvents"] = []


@breaks
def other_cat(doc):
    inner(doc["traceEvents"])[0]["cat"] = "X"


@breaks
def escaped_unduly(doc):
    # What is allowed on one version and engine only.
    events = inner(doc["traceEvents"], "Thing.__getitem__ (") or \
        inner(doc["traceEvents"], "__getitem__ (")
    doc["traceEvents"].remove(events[0])


@breaks
def surplus_escape(doc):
    events = inner(doc["traceEvents"], "Thing.__getitem__ (") or \
        inner(doc["traceEvents"], "__getitem__ (")
    event = dict(events[0])
    event["ts"] += event["dur"] // 3
    event["dur"] //= 3
    doc["traceEvents"].append(event)
