#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What could harm a target, one function a hazard, in the modules case_*.py.

    scenarios.py [--core] [--times N] [--python WORD] NAME ...     "list" lists them

Exit status: 0 holds, 1 does not, 77 cannot be tested here.
"""
import argparse
import glob
import importlib
import os
import sys

from cases import scenarios
from harness import HERE, VIZBPF, Failure, Skip, clean_up

for path in sorted(glob.glob(os.path.join(HERE, "case_*.py"))):
    importlib.import_module(os.path.basename(path)[:-3])


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--times", type=int, default=0, help="rounds of those that repeat")
    parser.add_argument("--python", default="", help="only interpreters whose name has this word")
    parser.add_argument("--core", action="store_true", help="the system's interpreter and one of 3.12 or later")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    if args.names in ([], ["list"]):
        for name, function in scenarios.items():
            print("%-26s %s" % (name, function.__doc__))
        return 0
    if not os.access(VIZBPF, os.X_OK):
        print("skip: there is no %s" % VIZBPF)
        return 77
    worst = 0
    for name in args.names:
        try:
            scenarios[name](args)
            print("ok    " + name, flush=True)
        except Skip as e:
            print("skip: %s: %s" % (name, e), flush=True)
            worst = worst or 77
        except Failure as e:
            print("FAIL  %s (seed %d): %s" % (name, args.seed, e), flush=True)
            worst = 1
        finally:
            clean_up()
    return worst


if __name__ == "__main__":
    sys.exit(main())
