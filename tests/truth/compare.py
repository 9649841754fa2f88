# SPDX-License-Identifier: Apache-2.0
"""Compares the calls that a trace shows with those that really took place."""
import json
import re
from collections import Counter

from tracefile import Bad, clean, preorder

# The only differences that are allowed, by name: (engine, versions, function, reason). Calls of
# these functions are left out on both sides, what they call moves up to their caller, and there
# may be no more of them than really took place.
ESCAPES = [
    ("eval", lambda v: (3, 11, 0) <= v <= (3, 11, 3), "__getitem__",
     "specialised __getitem__ does not consult the frame evaluation slot (gh-104405)"),
    ("trampoline", lambda v: (3, 11, 0) <= v <= (3, 11, 3), "__getitem__",
     "the recorder hangs on the same slot before 3.12"),
    ("eval", lambda v: v[:2] == (3, 13), "__init__",
     "CALL_ALLOC_AND_ENTER_INIT of 3.13 does not consult the frame evaluation slot"),
]


# What an engine cannot do on a version, by program: (engine, versions, program, why).
LIMITS = [
    ("usdt", lambda v: v < (3, 11), "names_surrogate",
     "CPython's own code around the probe fails on names that are no UTF-8; vizbpf warns"),
    ("eval", lambda v: (3, 12, 0) <= v <= (3, 12, 2), "deep",
     "3.12.0 to 3.12.2 count 750 nested calls of the eval function: recording pauses before"),
]


def escapes_of(engine, version):
    return [function for name, versions, function, _ in ESCAPES
            if name == engine and versions(version)]


def truth_threads(path):
    """[(depth, name)] of each thread, from what the driver wrote."""
    with open(path) as file:
        document = json.load(file)
    names = [clean("%s (%s:%d)" % tuple(code)) for code in document["codes"]]
    threads = []
    for events in document["threads"]:
        depth, sequence = 0, []
        for event in events:
            if event >= 0:
                sequence.append((depth, names[event]))
                depth += 1
            elif depth:
                depth -= 1
        threads.append(sequence)
    return threads


class Scope:
    """Which calls count: never the driver's, perhaps only the program's own."""

    def __init__(self, driver, own):
        self.driver = re.compile(r" \(%s:\d+\)$" % re.escape(driver))
        self.own = own and ("(%s/" % own, "(<own ")
        self.known = {}

    def has(self, name):
        answer = self.known.get(name)
        if answer is None:
            answer = not self.driver.search(name) and (
                not self.own or any(mark in name for mark in self.own))
            self.known[name] = answer
        return answer


def is_escape(name, functions):
    plain = name.split(" (", 1)[0]
    return plain.rsplit(".", 1)[-1] in functions


def reduce(sequence, keep):
    """The sequence of the calls that @keep likes; the others' callees move up."""
    stack, result = [], []
    for depth, name in sequence:
        while stack and stack[-1][0] >= depth:
            stack.pop()
        level = stack[-1][1] if stack else 0
        if keep(name):
            result.append((level, name))
            level += 1
        stack.append((depth, level))
    return tuple(result)


def edges(sequence):
    stack, result = [], Counter()
    for depth, name in sequence:
        del stack[depth:]
        result[stack[-1] if stack else "(thread)", name] += 1
        stack.append(name)
    return result


def describe(counter, limit=4):
    parts = []
    for key, count in sorted(counter.items(), key=lambda item: (-item[1], str(item[0])))[:limit]:
        name = " -> ".join(key) if isinstance(key, tuple) else key
        parts.append("%dx %r" % (count, name))
    more = len(counter) - limit
    return ", ".join(parts) + (" and %d more" % more if more > 0 else "")


def difference(label, seen, true):
    missing, extra = true - seen, seen - true
    if not missing and not extra:
        return None
    text = []
    if missing:
        text.append("%d missing %s: %s" % (sum(missing.values()), label, describe(missing)))
    if extra:
        text.append("%d too many %s: %s" % (sum(extra.values()), label, describe(extra)))
    return "; ".join(text)


def first_difference(seen, true):
    """Where the sequences of the threads part, for the pair that agrees for longest."""
    best = (-1, None, None)
    for left in sorted(seen, key=len)[:50]:
        for right in sorted(true, key=len)[:50]:
            same = 0
            while same < min(len(left), len(right)) and left[same] == right[same]:
                same += 1
            if same > best[0]:
                best = (same, left, right)
    at, left, right = best
    if left is None:
        return "%d threads instead of %d" % (len(seen), len(true))
    show = lambda s: "%r at depth %d" % (s[at][1], s[at][0]) if at < len(s) else "its end"
    return "after %d calls %s was recorded where %s took place" % (at, show(left), show(right))


class Verdict:
    def __init__(self, calls, escaped, escapable):
        self.calls = calls
        self.escaped = escaped
        self.escapable = escapable


def compare(seen_threads, true_threads, scope, escapes, nesting=True):
    """Raises Bad with the first kind of difference; returns a Verdict."""
    seen_all = Counter(name for thread in seen_threads for _, name in thread if scope.has(name))
    true_all = Counter(name for thread in true_threads for _, name in thread if scope.has(name))
    excess = Counter({name: count for name, count in (seen_all - true_all).items()
                      if is_escape(name, escapes)})
    if excess:
        raise Bad(difference("calls", excess, Counter()))
    escapable = sum(n for name, n in true_all.items() if is_escape(name, escapes))
    escaped = escapable - sum(n for name, n in seen_all.items() if is_escape(name, escapes))

    keep = lambda name: scope.has(name) and not is_escape(name, escapes)
    seen = [s for s in (reduce(thread, keep) for thread in seen_threads) if s]
    true = [s for s in (reduce(thread, keep) for thread in true_threads) if s]
    problem = difference("calls", Counter(n for s in seen for _, n in s),
                         Counter(n for s in true for _, n in s))
    if problem:
        if nesting:
            problem += "; " + first_difference(seen, true)
        raise Bad(problem)
    if nesting:
        problem = difference("(caller, callee)", sum((edges(s) for s in seen), Counter()),
                             sum((edges(s) for s in true), Counter()))
        if not problem and Counter(seen) != Counter(true):
            left, right = Counter(seen), Counter(true)
            problem = "order or threads: " + first_difference(
                list((left - right).elements()), list((right - left).elements()))
        if problem:
            raise Bad(problem)
    if not true_all:
        raise Bad("the program made no calls: nothing was compared")
    return Verdict(sum(true_all.values()), escaped, escapable)


def ancestors(threads):
    """All (ancestor, descendant) pairs of names."""
    pairs = set()
    for sequence in threads:
        stack = []
        for depth, name in sequence:
            del stack[depth:]
            pairs.update((above, name) for above in stack)
            stack.append(name)
    return pairs


def compare_losses(trace, truth, driver, go, own_calls):
    """With losses: nothing vanished uncounted, and what is left is where it belongs.

    @go: when the run began, in nanoseconds; @own_calls: calls of the driver itself after it.
    """
    calls = [call for calls in trace.calls.values() for call in calls if call.begin >= go]
    true = sum(map(len, truth)) + own_calls
    lost = trace.lost()
    if not lost:
        raise Bad("nothing was lost: the case tests nothing")
    if not trace.document["viztracer_metadata"].get("overflow"):
        raise Bad("viztracer_metadata.overflow is not true")
    if len(calls) + lost != true:
        raise Bad("%d recorded + %d lost = %d, but %d took place" %
                  (len(calls), lost, len(calls) + lost, true))
    by_thread = {}
    scope = Scope(driver, None)
    for call in calls:
        by_thread.setdefault(call.tid, []).append(call)
    allowed = ancestors(truth)
    for thread in by_thread.values():
        for pair in edges(reduce(preorder(thread), scope.has)):
            if pair[0] != "(thread)" and pair not in allowed:
                raise Bad("a loss moved a call: %s never calls %s" % pair)
    return Verdict(true, 0, 0)
