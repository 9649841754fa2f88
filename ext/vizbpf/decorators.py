# SPDX-License-Identifier: Apache-2.0
"""ignore_function, log_sparse and trace_and_save, as in VizTracer."""
import functools
import os
import time

from .tracer import VizTracer, get_tracer


def ignore_function(method=None, tracer=None):
    """The function, and what it calls, is not recorded."""
    def decorate(func):
        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            active = tracer or get_tracer()
            if active is None:
                raise NameError("ignore_function needs a tracer: register_global is off")
            active.pause()
            try:
                return func(*args, **kwargs)
            finally:
                active.resume()
        return wrapper
    return decorate(method) if method else decorate


def _sparse(func, stack_depth, dynamic):
    fixed = get_tracer()
    if not dynamic and (fixed is None or not fixed.log_sparse):
        return func

    def recorded_below(tracer, args, kwargs):
        before = tracer.max_stack_depth
        tracer.max_stack_depth = stack_depth
        tracer.start()
        try:
            return tracer.shield_ignore(func, *args, **kwargs)
        finally:
            tracer.stop()
            tracer.max_stack_depth = before

    def recorded_alone(tracer, args, kwargs):
        if not tracer._owns_record:
            tracer.start()
            tracer.stop()
        begin = tracer.getts()
        try:
            return func(*args, **kwargs)
        finally:
            code = func.__code__
            tracer.add_raw({"ph": "X", "cat": "FEE", "ts": begin, "dur": tracer.getts() - begin,
                            "name": "%s (%s:%d)" % (code.co_name, code.co_filename,
                                                    code.co_firstlineno)})

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        tracer = get_tracer() if dynamic else fixed
        if tracer is None:
            return func(*args, **kwargs)
        if tracer.log_sparse and not tracer.enable:
            if stack_depth > 0:
                return recorded_below(tracer, args, kwargs)
            return recorded_alone(tracer, args, kwargs)
        if tracer.enable and not tracer.log_sparse:
            return tracer.shield_ignore(func, *args, **kwargs)
        return func(*args, **kwargs)
    return wrapper


def log_sparse(func=None, stack_depth=0, dynamic_tracer_check=False):
    """With log_sparse on, only functions that are marked so are recorded, and what they call
    down to stack_depth."""
    if func is None:
        return lambda method: _sparse(method, stack_depth, dynamic_tracer_check)
    return _sparse(func, stack_depth, dynamic_tracer_check)


def trace_and_save(method=None, output_dir="./", **tracer_arguments):
    """Every call of the function makes a trace of its own in output_dir."""
    def decorate(func):
        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            tracer = VizTracer(**tracer_arguments)
            tracer.start()
            try:
                return tracer.shield_ignore(func, *args, **kwargs)
            finally:
                tracer.stop()
                os.makedirs(output_dir, exist_ok=True)
                tracer.save(os.path.join(output_dir, "result_%s_%d.json" % (
                    func.__name__, int(100000 * time.time()))))
                tracer.clear()
        return wrapper
    return decorate(method) if method else decorate
