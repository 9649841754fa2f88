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
from . import events
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
