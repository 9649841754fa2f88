# SPDX-License-Identifier: Apache-2.0
"""pytest --vizbpf: one trace of the test session, a slice for each test.

Without the option the slices are still emitted as custom events, so that `sudo vizbpf -p PID`
on a running session shows them too. The workers of pytest-xdist write parts, which the first
process joins.
"""
import os
import shutil
import tempfile

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

        self.worker = getattr(config, "workerinput", None)  # of pytest-xdist
        self.parts = self.worker["vizbpf_parts"] if self.worker else None
        self.path = os.path.abspath(config.getoption("--vizbpf-output"))
        self.events = 0
        self.saved = False
        self.tracer = VizTracer(output_file=self.path, verbose=0, register_global=False,
                                ignore_c_function=not config.getoption("--vizbpf-c-functions"))

    def parts_for_worker(self):
        if self.parts is None:
            self.parts = tempfile.mkdtemp(prefix="vizbpf-")
        return self.parts

    def save(self):
        if self.saved:
            return
        self.saved = True
        self.tracer.stop()
        if self.parts is None:
            self.tracer.save()
            self.events = self.tracer.total_entries
        else:
            self._save_part()

    def _save_part(self):
        from . import launch

        launch.write_part(self.parts, "part-%d-0" % os.getpid(), self.tracer)
        self.tracer.clear()
        if not self.worker:
            self.events, _ = launch.join_parts(self.parts, self.parts, self.path, True, False)
            shutil.rmtree(self.parts, ignore_errors=True)


_KEY = "_vizbpf_session"


def pytest_configure(config):
    if config.getoption("--vizbpf"):
        session = _Session(config)
        setattr(config, _KEY, session)
        session.tracer.start()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """A worker of pytest-xdist is about to start."""
    session = getattr(node.config, _KEY, None)
    if session is not None:
        node.workerinput["vizbpf_parts"] = session.parts_for_worker()


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
    terminalreporter.write_line("vizbpf: %d events in %s" % (session.events, session.path))
