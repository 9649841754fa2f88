# SPDX-License-Identifier: Apache-2.0
"""Events of your own on the timeline of vizbpf, and recording without root.

    import vizbpf

    vizbpf.instant("cache miss", {"key": key})
    with vizbpf.event("load"):
        ...
    @vizbpf.event
    def handler(request): ...

Events are USDT probes: while no tracer listens one costs a function call and a branch, and
arguments are not looked at.
"""
from . import events  # noqa: F401 - sets what decorators do
from ._native import (
    async_begin,
    async_end,
    begin,
    counter,
    enabled,
    end,
    event,
    flow_end,
    flow_start,
    flow_step,
    instant,
    object_delete,
    object_new,
    object_snapshot,
)
from .events import exclude_repr, flow, get_include, log_var
from .events import object_ as object  # noqa: A001 - the name that users know

__version__ = "0.1.0"


_LAZY = {
    "VizTracer": "tracer",
    "get_tracer": "tracer",
    "VizCounter": "objects",
    "VizObject": "objects",
    "VizLoggingHandler": "handler",
    "ignore_function": "decorators",
    "log_sparse": "decorators",
    "trace_and_save": "decorators",
    "load_ipython_extension": "jupyter",
}


def __getattr__(name):
    # The recorder and its imports are for those who use it: events alone need few.
    if name not in _LAZY:
        raise AttributeError("module 'vizbpf' has no attribute %r" % name)
    import importlib

    value = getattr(importlib.import_module("." + _LAZY[name], __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(list(globals()) + list(_LAZY))
