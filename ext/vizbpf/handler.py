# SPDX-License-Identifier: Apache-2.0
"""Log records on the timeline."""
import logging

from . import _native


class VizLoggingHandler(logging.Handler):
    """Each record becomes an instant, in the tracer that setTracer() named. Without one it
    goes to whoever records this process: `vizbpf` from outside, or the global tracer."""

    def __init__(self, level=logging.NOTSET):
        super().__init__(level)
        self._tracer = None

    def setTracer(self, tracer):
        self._tracer = tracer

    def emit(self, record):
        try:
            if self._tracer is not None:
                self._tracer.add_instant("logging - %s" % self.format(record), scope="p")
            elif _native.enabled():
                _native.instant("logging - %s" % self.format(record),
                                {"level": record.levelname, "logger": record.name}, "p")
        except Exception:
            self.handleError(record)
