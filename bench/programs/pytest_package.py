# SPDX-License-Identifier: Apache-2.0
"""pytest on a small package."""
import contextlib
import io
import os

import pytest

PACKAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "package")


def workload(scale):
    for _ in range(scale):
        with contextlib.redirect_stdout(io.StringIO()) as output:
            status = pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", PACKAGE, PACKAGE])
        if status:
            raise SystemExit("pytest: %s\n%s" % (status, output.getvalue()))
