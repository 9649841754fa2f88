# SPDX-License-Identifier: Apache-2.0
# scope: own
"""Imports of modules and packages, by statement and by name."""
import importlib
import sys

NAMES = ("truth_package.inner", "truth_package", "truth_module")


def forget():
    for name in NAMES:
        sys.modules.pop(name, None)


def by_statement():
    import truth_module
    from truth_package import inner
    return truth_module.function() + inner.function()


def by_name():
    return importlib.import_module("truth_package.inner").function()


def workload():
    for _ in range(5):
        forget()
        assert by_statement() == 3
        forget()
        assert by_name() == 2
