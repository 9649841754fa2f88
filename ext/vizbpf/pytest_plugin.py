# SPDX-License-Identifier: Apache-2.0
"""pytest --vizbpf: one trace of the test session, a slice for each test.

Without the option the slices are still emitted as custom events, so that `sudo vizbpf -p PID`
on a running session shows them too.
"""
import os

import pytest

from . import _native


def pytest_addoption(parser):
    group = parser.getgroup("vizbpf")
    group.addoption("--vizbpf", action="store_true", help="record a trace of the test session")
    group.addoption("--vizbpf-output", metavar="FILE", default="pytest-vizbpf.json",
                    help="where it goes (default: %(default)s)")
    group.addoption("--vizbpf-c-functions", action="store_true", help="record C functions too")


class _Session:
    def __init__(self, config):
        from .tracer import VizTracer

        path = config.getoption("--vizbpf-output")
        worker = getattr(config, "workerinput", None)  # of pytest-xdist
        if worker is not None:
            stem, dot, suffix = path.partition(".json")
            path = "%s_%s%s%s" % (stem, worker["workerid"], dot, suffix)
        self.tracer = VizTracer(output_file=os.path.abspath(path), verbose=0, register_global=False,
                                ignore_c_function=not config.getoption("--vizbpf-c-functions"))
        self.saved = False

    def start(self):
        self.tracer.start()

    def save(self):
        if not self.saved:
            self.saved = True
            self.tracer.stop()
            self.tracer.save()


_KEY = "_vizbpf_session"


def pytest_configure(config):
    if config.getoption("--vizbpf"):
        session = _Session(config)
        setattr(config, _KEY, session)
        session.start()


def pytest_unconfigure(config):
    session = getattr(config, _KEY, None)
    if session is not None:
        session.save()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item, nextitem):
    with _native.event("test: " + item.nodeid, None, "pytest"):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if _native.enabled():
        report = outcome.get_result()
        if report.failed or (report.skipped and report.when != "teardown"):
            _native.instant("%s: %s" % (report.outcome, item.nodeid),
                            {"when": report.when, "seconds": report.duration}, "p", "pytest")


def pytest_terminal_summary(terminalreporter, config):
    session = getattr(config, _KEY, None)
    if session is None:
        return
    session.save()
    terminalreporter.write_line("vizbpf: %d events in %s" % (session.tracer.total_entries,
                                                            session.tracer.saved_as))
