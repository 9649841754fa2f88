# SPDX-License-Identifier: Apache-2.0
"""What the scenarios share: their registry, the choice of interpreters, what is asked often."""
import glob
import os

from harness import Failure, Skip, check, clean_up, interpreters, proc_state, wait_for

scenarios = {}


def scenario(function):
    scenarios[function.__name__] = function
    return function


def some(args, condition=lambda i: True, few=False):
    """Interpreters to run with: the system's first; --python chooses, few takes one a minor."""
    found, minors = [], set()
    for one in interpreters():
        if args.python and args.python not in str(one):
            continue
        if condition(one) and not (few and one.version[:2] in minors):
            minors.add(one.version[:2])
            found.append(one)
    if args.core:
        found = found[:1] + [i for i in found[1:] if i.version >= (3, 12)][:1]
    if not found:
        raise Skip("no interpreter here is of use for it")
    return found


def each(found, function):
    """Runs for each interpreter and reports all that fail, not only the first."""
    failed = []
    for one in found:
        try:
            function(one)
            print("  ok    %s" % one, flush=True)
        except Failure as e:
            failed.append(str(one))
            print("  FAIL  %s: %s" % (one, e), flush=True)
        finally:
            clean_up()
    check(not failed, "%d of %d: %s" % (len(failed), len(found), ", ".join(failed)))


def fast_again(subject, before):
    """The machine has other things to do: what is slow for good stays slow for 15 s."""
    seen = []

    def fast():
        seen.append(subject.ask("speed")["ns"])
        return min(seen) < 1.5 * before

    wait_for(fast, lambda: "a call takes %.0f ns after, %.0f before" % (min(seen), before))


def leftovers():
    """Journals of vizbpf processes that are gone. One without a beginning is left when vizbpf was
    killed while it made the file, before anything else; the next one removes it."""
    left = []
    for path in glob.glob("/run/vizbpf/journal-*"):
        try:
            with open(path, "rb") as journal:
                begun = journal.read(8).strip(b"\0")
        except OSError:
            continue
        if begun and proc_state(int(path.split("-")[1])) in ("gone", "Z"):
            left.append(os.path.basename(path))
    return left


def read_ready(tracer):
    """True when it became ready, False when it ended instead."""
    try:
        tracer.wait_ready()
        return True
    except Failure:
        if tracer.process.poll() is None:
            raise
        return False


def glob_libpython():
    return glob.glob(os.path.expanduser("~/.pyenv/versions/3.1*/lib/libpython3.*.so.1.0"))
