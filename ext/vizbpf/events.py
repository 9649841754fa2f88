# SPDX-License-Identifier: Apache-2.0
"""The parts of the custom events that need no C."""
import collections
import functools
import os
import threading

from . import _native

_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE; inspect takes long to import
_FLOWS_MAX = 4096
_flows = collections.OrderedDict()
_flows_lock = threading.Lock()


def _decorate(name, args, category, function):
    """What `@event(...)` and `@event` make of a function, a coroutine or a generator function."""
    if name is None:
        name = getattr(function, "__qualname__", None) or repr(function)
    slice_ = _native.event(str(name), args, category)
    if getattr(getattr(function, "__code__", None), "co_flags", 0) & _CO_COROUTINE:
        # Other tasks run on this thread while it waits: a row of its own.
        @functools.wraps(function)
        async def wrapper(*positional, **named):
            if not _native.enabled():
                return await function(*positional, **named)
            key = _next_id()
            _native.async_begin(name, key, args, category)
            try:
                return await function(*positional, **named)
            finally:
                _native.async_end(name, key)
    else:
        # Of a generator function it is the creation: the pieces that it runs in do not nest.
        @functools.wraps(function)
        def wrapper(*positional, **named):
            with slice_:
                return function(*positional, **named)
    return wrapper


_counter = iter(range(1, 1 << 62))


def _next_id():
    return os.getpid() << 40 | next(_counter)


def flow(id, name="flow", end=False):
    """One end of an arrow: the first call with an id starts it in this process, later ones
    continue it, end=True ends it. Between processes say which is which: flow_start(name, id)
    in the one, flow_end(name, id) in the other."""
    if not _native.enabled():
        return
    with _flows_lock:
        known = id in _flows
        if end:
            _flows.pop(id, None)
        elif not known:
            _flows[id] = None
            if len(_flows) > _FLOWS_MAX:
                _flows.popitem(last=False)
    if end:
        _native.flow_end(name, id)
    elif known:
        _native.flow_step(name, id)
    else:
        _native.flow_start(name, id)


def log_var(name, value):
    """A number becomes a counter, anything else an instant that shows the value."""
    if not _native.enabled():
        return
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _native.counter(name, value)
    else:
        _native.instant(name, {"value": value})


class object_:
    """Something that lives for a while and has a state to look at:

    job = vizbpf.object("job", {"state": "new"}); job.snapshot({...}); job.delete()
    """

    __slots__ = ("name", "id", "_alive")

    def __init__(self, name, args=None, id=None):
        self.name = name
        self.id = _next_id() if id is None else id
        self._alive = True
        _native.object_new(name, self.id)
        if args is not None:
            self.snapshot(args)

    def snapshot(self, args):
        _native.object_snapshot(self.name, self.id, args)

    def delete(self):
        if self._alive:
            self._alive = False
            _native.object_delete(self.name, self.id)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.delete()


def exclude_repr(*types):
    """Instances of these types are shown as "<Name object>": their repr is never called."""
    _native._exclude_repr(tuple(types))


def get_include():
    """The folder of vizbpf.h, for building C and C++ extensions that emit events."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "include")


_native._set_decorate(_decorate)
