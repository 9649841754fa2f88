# SPDX-License-Identifier: Apache-2.0
"""VizTracer's classes and functions on the recorder of vizbpf: a changed import is enough."""
import atexit
import builtins
import gc
import io
import json
import os
import re
import signal
import sys
import threading

from . import _native, kept
from .files import base_time, write_trace

_current = None  # the tracer that is registered globally
_running = None  # the tracer that records: one per process
_PATHS = (str, bytes, os.PathLike)
_own_path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")


def get_tracer():
    """The tracer that is registered globally (register_global, the default), or None."""
    return _current


def _prefixes(paths):
    """As VizTracer compares: with the path as given, and made absolute."""
    if paths is None:
        return None
    return tuple(dict.fromkeys(list(paths) + [os.path.abspath(path) for path in paths]))


def _process_name():
    try:
        with open("/proc/self/cmdline", "rb") as file:
            words = file.read().decode("utf-8", "replace").split("\0")
    except OSError:
        words = [sys.executable] + sys.argv
    return " ".join([os.path.basename(words[0])] + words[1:]).strip() or "python"


class VizTracer:
    """Records the calling process, without root and without another process.

    The arguments are VizTracer's. Those that make no sense here (plugins, dump_raw,
    minimize_memory, log_torch, trace_self ...) are accepted and named in a warning when they
    were asked for.
    """

    def __init__(self, tracer_entries=1000000, verbose=1, max_stack_depth=-1, include_files=None,
                 exclude_files=None, ignore_c_function=False, ignore_frozen=False,
                 log_func_retval=False, log_func_args=False, log_func_repr=None,
                 log_func_with_objprint=False, log_print=False, log_gc=False, log_sparse=False,
                 log_async=False, log_torch=False, log_audit=None, pid_suffix=False,
                 file_info=True, register_global=True, trace_self=False, min_duration=0,
                 minimize_memory=False, dump_raw=False, sanitize_function_name=False,
                 process_name=None, output_file="result.json", plugins=None, log_exception=False):
        if include_files is not None and exclude_files is not None:
            raise ValueError("include_files and exclude_files cannot both be given")
        if not isinstance(pid_suffix, bool):
            raise ValueError("pid_suffix must be a boolean, not %r" % (pid_suffix,))
        for name, asked in (("plugins", plugins), ("log_torch", log_torch),
                            ("log_func_with_objprint", log_func_with_objprint)):
            if asked:
                print("vizbpf: %s is not supported and has no effect" % name, file=sys.stderr)
        self.tracer_entries = tracer_entries
        self.verbose = verbose
        self.max_stack_depth = max_stack_depth
        self.include_files = include_files
        self.exclude_files = exclude_files
        self.ignore_c_function = ignore_c_function
        self.ignore_frozen = ignore_frozen
        self.log_func_retval = log_func_retval
        self.log_func_args = log_func_args
        self.log_func_repr = log_func_repr
        self.log_print = log_print
        self.log_gc = log_gc
        self.log_sparse = log_sparse
        self.log_async = log_async
        self.log_audit = log_audit
        self.log_exception = log_exception
        self.pid_suffix = pid_suffix
        self.file_info = file_info
        self.min_duration = min_duration
        self.process_name = process_name
        self.output_file = output_file
        self.enable = False
        self.parsed = False
        self.data = {}
        self.total_entries = 0
        self.saved_as = None
        self._sync_marker = None
        self._gc_started = None
        self._print = None
        self._audit = None
        self._owns_record = False
        self._make_spool = None  # launch.py: returns the descriptor of an empty file, or None
        self._record = None  # kept.Record, else
        self._afterfork = None
        if register_global:
            self.register_global()

    # Control.

    def __enter__(self):
        if not self.log_sparse:
            self.start()
        return self

    def __exit__(self, *exc):
        if not self.log_sparse:
            self.stop()
        self.save()

    def register_global(self):
        global _current
        _current = self
        builtins.__dict__["__viz_tracer__"] = self

    def start(self):
        global _running
        if self.enable:
            return
        if _running is not None:
            raise RuntimeError("another tracer is recording in this process")
        fresh = not self._owns_record
        if fresh:
            _claim(self)
        _native._configure(
            self.tracer_entries, self.max_stack_depth, int(self.min_duration * 1000),
            not self.ignore_c_function, self.ignore_frozen, self.log_func_args,
            self.log_func_retval, self.log_async, self.log_exception,
            _prefixes(self.include_files), _prefixes(self.exclude_files), _own_path,
            self.log_func_repr)
        if fresh:
            self._keep_record()
        elif self._record is not None:
            self._record.set_saved(False)
        if self.log_exception and sys.version_info < (3, 12):
            print("vizbpf: log_exception needs CPython 3.12: earlier ones do not tell; calls that "
                  "end by an exception are marked all the same", file=sys.stderr)
        self.parsed = False
        self._start_extras()
        _running = self
        self.enable = True
        if sys.version_info < (3, 12):
            threading.setprofile(_native._thread_hook)
        if (3, 11) <= sys.version_info < (3, 11, 4) and self.ignore_c_function:
            from . import getitem

            getitem.prepare()
        try:
            _native._start()
        except BaseException:
            self.enable = False
            _running = None
            self._stop_extras()
            raise

    def _keep_record(self):
        """What is recorded goes into a file, which outlives the process."""
        if self._make_spool is not None:
            fd = self._make_spool()
        else:
            path = self.output_file
            path = os.path.abspath(os.fsdecode(path)) if isinstance(path, _PATHS) else None
            self._record = kept.make(path, self.verbose)
            fd = self._record and self._record.fd
        if fd is not None:
            try:
                _native._keep_in(fd, self.process_name or _process_name())
            except OSError:
                pass  # memory does as well, for as long as the process lives

    def _drop_record(self):
        """Another process, or another tracer, has the record from here on, or nobody."""
        self._owns_record = False
        if self._record is not None:
            self._record.remove()
            self._record = None

    def stop(self, stop_option=None):
        global _running
        if not self.enable:
            return
        _native._stop(stop_option == "flush_as_finish")
        if sys.version_info < (3, 12):
            threading.setprofile(None)
        self.enable = False
        _running = None
        self._stop_extras()

    def pause(self):
        """The calling thread records nothing until resume()."""
        _native._pause(1)

    def resume(self):
        _native._pause(-1)

    def clear(self):
        """Forgets what was recorded."""
        was = self.enable
        self.stop()
        if self._owns_record:
            _native._clear()
            self._drop_record()
        self.parsed = False
        self.data = {}
        if was:
            self.start()

    def terminate(self):
        pass

    def run(self, command, output_file=None):
        self.start()
        exec(command)
        self.stop()
        self.save(output_file)

    def install(self):
        """SIGUSR1 starts recording, SIGUSR2 stops it and saves."""
        def on_start(_signum, _frame):
            self.start()

        def on_stop(_signum, _frame):
            self.stop()
            self.save()

        signal.signal(signal.SIGUSR1, on_start)
        signal.signal(signal.SIGUSR2, on_stop)

    def register_exit(self):
        """Saves when the interpreter ends."""
        atexit.register(self.exit_routine)

    def exit_routine(self):
        self.stop("flush_as_finish")
        self.save()

    # Saving.

    @property
    def init_kwargs(self):
        return {name: getattr(self, name) for name in (
            "tracer_entries", "verbose", "output_file", "max_stack_depth", "exclude_files",
            "include_files", "ignore_c_function", "ignore_frozen", "log_func_retval",
            "log_func_args", "log_print", "log_gc", "log_sparse", "log_async", "log_audit",
            "pid_suffix", "min_duration")}

    def save(self, output_file=None, file_info=None, verbose=None):
        """Writes what was recorded: .json, .json.gz (or .gz) or .html by the name."""
        was = self.enable
        self.stop()
        path = self.output_file if output_file is None else output_file
        if isinstance(path, _PATHS):
            path = os.path.abspath(os.fspath(path))
            if self.pid_suffix:
                stem, dot, suffix = path.rpartition(".")
                path = "%s_%d%s%s" % (stem, os.getpid(), dot, suffix) if dot else path
        info = self.file_info if file_info is None else file_info
        events, overflow = write_trace(path, self.process_name or _process_name(), info,
                                       self._sync_marker, self._owns_record)
        self.total_entries = events
        self.saved_as = path
        if self._record is not None:
            self._record.set_saved(True)
        if (self.verbose if verbose is None else verbose) and isinstance(path, str):
            print("vizbpf: %d events in %s%s" % (
                events, path, " (older ones were dropped: raise tracer_entries)" if overflow else ""),
                file=sys.stderr)
        if was:
            self.start()

    def parse(self):
        """What save() would write, as objects in self.data; returns the number of events."""
        self.stop()
        if not self.parsed:
            text = io.BytesIO()
            self.total_entries, _ = write_trace(text, self.process_name or _process_name(), False,
                                                self._sync_marker, self._owns_record)
            self.data = json.loads(text.getvalue().decode("utf-8"))
            self.parsed = True
        return self.total_entries

    def fork_save(self, output_file=None):
        """Saves in a child process, which is returned; recording can go on meanwhile."""
        import multiprocessing

        self.stop()
        if self._make_spool is not None or self._record is not None:
            self.save(output_file)  # a child would read what is written on meanwhile
            process = multiprocessing.get_context("fork").Process(target=os.getpid, daemon=False)
            process.start()
            return process
        _forking_to_save.append(True)
        try:
            process = multiprocessing.get_context("fork").Process(
                target=self.save, kwargs={"output_file": output_file}, daemon=False)
            process.start()
        finally:
            _forking_to_save.pop()
        return process

    # Events of the program's own.

    def getts(self):
        """Microseconds of CLOCK_MONOTONIC."""
        return _native._now()

    def add_raw(self, raw):
        """An event as it should stand in the file; pid and tid are filled in."""
        raw = dict(raw)
        begin, duration = raw.pop("ts", None), raw.pop("dur", None)
        for name in ("pid", "tid"):
            raw.pop(name, None)
        self._add(raw, begin, duration)

    def add_instant(self, name, args=None, scope="g"):
        if self.enable:
            event = {"ph": "i", "s": scope if scope in ("g", "p", "t") else "g", "cat": "INSTANT",
                     "name": name}
            if args is not None:
                event["args"] = args if isinstance(args, dict) else {"value": args}
            self._add(event)

    def add_counter(self, name, args):
        if self.enable:
            for value in args.values():
                if isinstance(value, bool) or not isinstance(value, (int, float)):
                    raise ValueError("counters take numbers, not %r" % (value,))
            self._add({"ph": "C", "name": name, "args": args})

    def add_object(self, ph, obj_id, name, args=None):
        if self.enable:
            event = {"ph": ph, "id": str(obj_id), "name": name}
            if args is not None:
                event["args"] = args
            self._add(event)

    def add_variable(self, name, var, event="instant"):
        if event not in ("instant", "counter"):
            raise ValueError("%s is not supported" % event)
        if not self.enable:
            return
        if event == "instant":
            self.add_instant("%s = %s" % (name, json.loads(_native._to_json(var, 1700, True))), scope="p")
        elif isinstance(var, (int, float)):
            self.add_counter(name, {name: var})
        else:
            raise ValueError("%s is not a number" % name)

    def add_func_exec(self, name, val, lineno):
        self.add_instant("%s = %s (line %s)" % (name, val, lineno), scope="t")

    def log_instant(self, name, args=None, scope="t", cond=True):
        if cond:
            self.add_instant(name, args, scope)

    def log_var(self, name, var, cond=True):
        if not cond:
            return
        if isinstance(var, (int, float)):
            self.add_counter(name, {"value": float(var) if isinstance(var, bool) else var})
        else:
            self.add_instant(name, {"object": var}, scope="t")

    def log_event(self, event_name):
        frame = sys._getframe(1)
        return VizEvent(self, event_name, frame.f_code.co_filename, frame.f_lineno)

    def add_func_args(self, key, value):
        """One more of the "args" of the function that calls this."""
        text = _native._to_json(value)
        _native._add_arg("%s:%s" % (json.dumps(str(key)[:200]), "null" if text is None else text))

    def get_base_time(self):
        """CLOCK_REALTIME - CLOCK_MONOTONIC, ns."""
        return base_time()

    def enable_thread_tracing(self):
        """For a thread that was there before start(): needed in CPython 3.8 alone."""
        if self.enable and sys.version_info < (3, 9):
            sys.setprofile(_native._thread_hook)

    def set_afterfork(self, callback, *args, **kwargs):
        """callback(tracer, *args, **kwargs) is called in the child of a fork."""
        self._afterfork = lambda: callback(self, *args, **kwargs)

    def set_sync_marker(self):
        self._sync_marker = self.getts()

    def get_sync_marker(self):
        return self._sync_marker

    def shield_ignore(self, func, *args, **kwargs):
        """Calls a function that is seen although its caller is not."""
        before = _native._shield()
        try:
            return func(*args, **kwargs)
        finally:
            _native._unshield(before)

    def _add(self, event, begin=None, duration=None):
        """Serialised now and bounded: later changes of the objects do not show."""
        parts = []
        for key, value in event.items():
            text = _native._to_json(value)
            parts.append('"%s":%s' % (key, "null" if text is None else text))
        _native._add(",".join(parts), None if begin is None else float(begin),
                     None if duration is None else float(duration))

    # What is recorded besides calls.

    def _start_extras(self):
        if self.log_gc:
            gc.callbacks.append(self._on_gc)
        if self.log_print:
            self._print = builtins.print
            builtins.print = self._on_print
        if self.log_audit is not None:
            if self._audit is None:
                self._audit = True
                sys.addaudithook(self._on_audit)
            self._audit_patterns = [re.compile(pattern) for pattern in self.log_audit]

    def _stop_extras(self):
        if self._on_gc in gc.callbacks:
            gc.callbacks.remove(self._on_gc)
        if self._print is not None:
            builtins.print = self._print
            self._print = None

    def _on_gc(self, phase, info):
        if phase == "start":
            self._gc_started = self.getts()
            args = {"collecting": 1, "collected": 0, "uncollectable": 0}
        else:
            args = {"collecting": 0, "collected": info.get("collected", 0),
                    "uncollectable": info.get("uncollectable", 0)}
        self.add_counter("garbage collection", args)
        if phase == "stop" and self._gc_started is not None:
            self.add_raw({"ph": "X", "cat": "GC", "name": "garbage collection",
                          "ts": self._gc_started, "dur": self.getts() - self._gc_started,
                          "args": dict(info)})
            self._gc_started = None

    def _on_print(self, *args, **kwargs):
        """As VizTracer: the text goes into the trace instead of the output."""
        text = io.StringIO()
        kwargs["file"] = text
        self.pause()
        try:
            self._print(*args, **kwargs)
        finally:
            self.resume()
        self.add_instant("print - %s" % text.getvalue())

    def _on_audit(self, event, args):
        if self.enable and any(pattern.search(event) for pattern in self._audit_patterns):
            self.add_instant(event, {"args": [json.loads(_native._to_json(arg, 300, True) or '""')
                                              for arg in args]}, scope="t")


def _claim(tracer):
    """The record of this process belongs to @tracer from here on; another's is dropped."""
    global _owner
    if _owner is not None and _owner is not tracer:
        _owner._drop_record()
    _native._clear()
    _owner = tracer
    tracer._owns_record = True


_owner = None
_forking_to_save = []


def _after_fork():
    if _forking_to_save:
        return
    _native._after_fork()
    if _owner is not None:
        _owner._record = None  # the parent's
    if _current is not None:
        _current.parsed = False
        if _current._afterfork is not None:
            _current._afterfork()


os.register_at_fork(after_in_child=_after_fork)


class VizEvent:
    """What VizTracer.log_event() returns: a slice, for a with statement."""

    def __init__(self, tracer, event_name, file_name, lineno):
        self._tracer = tracer
        self._name = "%s (%s:%d)" % (event_name, file_name, lineno)
        self._begin = 0.0

    def __enter__(self):
        self._begin = self._tracer.getts()
        return self

    def __exit__(self, *exc):
        if self._tracer.enable:
            self._tracer.add_raw({"ph": "X", "cat": "FEE", "name": self._name, "ts": self._begin,
                                  "dur": self._tracer.getts() - self._begin})
