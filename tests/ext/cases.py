# SPDX-License-Identifier: Apache-2.0
"""The tests of tests/ext/run, inside one interpreter that has the package installed."""
import importlib
import os
import sys
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from support import Skip  # noqa: E402


def run(module):
    for name, test in sorted(vars(module).items()):
        if not name.startswith("test_"):
            continue
        label = "%s %s" % (module.__name__, name[5:].replace("_", " "))
        try:
            test()
        except Skip as why:
            print("skip - %s: %s" % (label, why))
        except BaseException:
            print("not ok - %s" % label)
            traceback.print_exc()
        else:
            print("ok - %s" % label)
        sys.stdout.flush()


if __name__ == "__main__":
    for part in ("events", "serialiser", "recorder", "api", "kept", "launch", "variables", "header", "live"):
        run(importlib.import_module("case_" + part))
    print("done")
