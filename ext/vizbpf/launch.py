# SPDX-License-Identifier: Apache-2.0
"""Runs a program recorded from the inside, its Python children included, and without root.

Every process writes its events into a private folder when it ends; the first one joins them.
Children are reached through PYTHONPATH: a sitecustomize module in that folder starts their
recorder and hands over to the sitecustomize they would have had. Of a process that is killed the
mapped file is left, see spool.py.
"""
import atexit
import io
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import types

from . import _native, files, kept, options as options_module, spool, tracer as tracer_module, variables

ENVIRONMENT = "VIZBPF_LAUNCH"  # JSON: what a child needs to know
_WAIT_FOR_CHILDREN = 5.0  # seconds, once the program has ended

_SITECUSTOMIZE = """\
import os, sys
_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _here]
_this = sys.modules.pop("sitecustomize")
_dont_write_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
sys.path.append(%(package)r)
try:
    from vizbpf import launch as _launch
    _launch.join()
except Exception as _error:
    print("vizbpf: a child is not recorded: %%s" %% (_error,), file=sys.stderr)
finally:
    sys.path.remove(%(package)r)
    sys.dont_write_bytecode = _dont_write_bytecode
try:
    import sitecustomize
except ImportError as _error:
    if _error.name != "sitecustomize":
        raise
    sys.modules["sitecustomize"] = _this
"""


def write_part(folder, stem, tracer):
    """What @tracer has recorded, for join_parts()."""
    stem = os.path.join(folder, stem)
    with open(stem + ".tmp", "wb") as file:
        count, overflow = files.write_fragment(
            file, tracer.process_name or tracer_module._process_name()) \
            if tracer._owns_record else (0, False)
    with open(stem + ".info", "w", encoding="utf-8") as file:
        json.dump({"count": count, "overflow": overflow, "file_info": files.source_info()}, file)
    os.rename(stem + ".tmp", stem + ".events")


class _Launch:
    """One recorded process of a launch."""

    def __init__(self, folder, spools, arguments, follow):
        self.folder = folder
        self.spools = spools
        self.stem = None
        self.lock = spool.hold(spools)
        self.follow = follow
        self.pid = os.getpid()
        self.saved = False
        self.tracer = tracer_module.VizTracer(verbose=0, **arguments)
        self.tracer._make_spool = self._make_spool

    def start(self):
        self._mark()
        if not self.tracer.log_sparse:
            self.tracer.start()

    def _mark(self):
        """Tells the first process that events are to come."""
        with open(os.path.join(self.folder, "running-%d" % self.pid), "w"):
            pass
        self.stem = "part-%d-%s" % (self.pid, os.urandom(4).hex())

    def _make_spool(self):
        return spool.create(self.spools, self.stem)

    def save(self):
        """This process's part; the first call counts."""
        if self.saved or self.stem is None:
            return
        self.saved = True
        self.tracer.stop("flush_as_finish")
        write_part(self.folder, self.stem, self.tracer)
        spool.remove(self.spools, self.stem)
        self._unmark()

    def _unmark(self):
        try:
            os.unlink(os.path.join(self.folder, "running-%d" % self.pid))
        except OSError:
            pass

    def after_fork(self):
        """In the child of a fork."""
        self.pid = os.getpid()
        self.saved = False
        if self.follow:
            self._mark()
            if self.tracer._owns_record:
                _native._after_fork()  # another module's functions may have run meanwhile
                self.tracer._keep_record()
        else:
            self.saved = True
            self.tracer.stop()


_launch = None
_ending = False  # _end() is at work
_signalled = None  # a signal that came meanwhile
_first = None  # of the first process: (pid, what combines)


def _end():
    """The end of this process, whichever way it comes."""
    global _ending
    if _launch is None or _ending:
        return
    _ending = True
    try:
        _launch.save()
        if _first is not None and _first[0] == os.getpid():
            _first[1]()
    except Exception:
        # without the folder the first process has ended: nobody is there to take this part
        if os.path.isdir(_launch.folder):
            print("vizbpf: the trace could not be saved:", file=sys.stderr)
            traceback.print_exc()
    finally:
        _ending = False
    if _signalled is not None:
        _die(_signalled)


def _die(signum):
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)


def _on_signal(signum, _frame):
    """SIGTERM, while the program leaves it to the default."""
    global _signalled
    if _ending:  # multiprocessing terminates pool workers that are ending already
        _signalled = signum
        return
    _end()
    _die(signum)


def _before(function):
    def wrapper(*args, **kwargs):
        _end()
        return function(*args, **kwargs)
    wrapper.__name__ = getattr(function, "__name__", "wrapper")
    wrapper.__doc__ = function.__doc__
    return wrapper


def _before_exec(function):
    """An exec ends this program but not the process: what follows is another part."""
    def wrapper(*args, **kwargs):
        if _launch is not None:
            _launch.save()
        try:
            return function(*args, **kwargs)
        finally:  # it failed: there is nothing more to be saved, but the program goes on
            pass
    wrapper.__name__ = function.__name__
    wrapper.__doc__ = function.__doc__
    return wrapper


def _hook_ends():
    atexit.register(_end)
    os._exit = _before(os._exit)
    for name in ("execv", "execve"):
        setattr(os, name, _before_exec(getattr(os, name)))
    try:
        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _on_signal)
    except ValueError:  # not the main thread
        pass
    os.register_at_fork(after_in_child=_in_child)


def _in_child():
    global _ending, _signalled
    _ending, _signalled = False, None
    if _launch is not None:
        _launch.after_fork()


def join():
    """In a child that was started by a recorded process (called by its sitecustomize)."""
    global _launch
    text = os.environ.get(ENVIRONMENT)
    if not text or _launch is not None:
        return
    known = json.loads(text)
    if not os.path.isdir(known["folder"]):
        return  # the first process has ended and taken the folder away
    if _is_helper():
        return
    _launch = _Launch(known["folder"], known["spools"], known["arguments"], True)
    variables.install(known["variables"])
    _hook_ends()
    _launch.start()


def _is_helper():
    """multiprocessing's own process, which ends only after the first one has."""
    with open("/proc/self/cmdline", "rb") as file:
        words = file.read()
    return b"resource_tracker import main" in words or b"semaphore_tracker import main" in words


def _prepare_children(folder, spools, arguments, patterns):
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with open(os.path.join(folder, "sitecustomize.py"), "w", encoding="utf-8") as file:
        file.write(_SITECUSTOMIZE % {"package": package})
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = folder + (os.pathsep + before if before else "")
    os.environ[ENVIRONMENT] = json.dumps({"folder": folder, "spools": spools,
                                          "arguments": arguments, "variables": patterns})


def _wait_for_children(folder):
    """Until every marked process has saved or is gone. Returns the pids that were not waited
    for."""
    import time

    limit = time.monotonic() + _WAIT_FOR_CHILDREN
    while True:
        running = [int(name[8:]) for name in os.listdir(folder) if name.startswith("running-")]
        running = [pid for pid in running if os.path.exists("/proc/%d" % pid) and
                   not spool.is_zombie(pid)]
        if not running or time.monotonic() > limit:
            return running
        time.sleep(0.02)


def _recover(folder, spools):
    """Parts of the processes that could not make theirs. Their pids."""
    pids = set()
    for name in sorted(os.listdir(spools)) if os.path.isdir(spools) else ():
        stem, dot, kind = name.rpartition(".")
        if kind != "spool" or os.path.exists(os.path.join(folder, stem + ".events")):
            continue
        if spool.recover(spools, folder, stem):
            pids.add(int(stem.split("-")[1]))
    return pids


def join_parts(folder, spools, path, with_source, verbose):
    """The parts of all processes into one file. How many events, and the pids of processes whose
    part was made of the file that they left."""
    left = set(_wait_for_children(folder))
    recovered = _recover(folder, spools)
    total, overflow, first = 0, False, True
    info = {"files": {}, "functions": {}}
    file, made = files.temporary_beside(path)
    with file:
        file.write(b'{"traceEvents":[\n')
        for name in sorted(os.listdir(folder)):
            if not name.endswith(".events"):
                continue
            stem = os.path.join(folder, name[:-len(".events")])
            with open(stem + ".info", encoding="utf-8") as described:
                part = json.load(described)
            total += part["count"]
            overflow |= part["overflow"]
            for group in info:
                info[group].update(part["file_info"][group])
            with open(stem + ".events", "rb") as events:
                if os.fstat(events.fileno()).st_size:
                    if not first:
                        file.write(b",\n")
                    first = False
                    shutil.copyfileobj(events, file, 1 << 20)
        files.finish(file, info if with_source else None, overflow,
                     killed=recovered - left)
    files.put_in_place(made, path)
    if verbose:
        print("vizbpf: %d events in %s%s" % (
            total, path, " (older ones were dropped: raise --tracer-entries)" if overflow else ""),
            file=sys.stderr)
        for pids, what in ((recovered - left, "killed, up to then part of it"),
                           (recovered & left, "still running, up to now part of it"),
                           (left - recovered, "still running, not part of it")):
            if pids:
                print("vizbpf: %s: %s" % (what, ", ".join(map(str, sorted(pids)))),
                      file=sys.stderr)
    return total, recovered


def _run(module, command):
    """The program, as `python` would run it. Returns the exit status."""
    try:
        if module is not None:
            sys.argv = [module] + command
            sys.path[0] = os.getcwd()
            _native._shield()
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        elif os.path.isdir(command[0]) or command[0].endswith((".zip", ".pyz")):
            sys.argv = command
            _native._shield()
            runpy.run_path(command[0], run_name="__main__")
        else:
            _run_script(command)
    except SystemExit:
        raise
    except BaseException as error:
        _print_error(error)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _is_program(path):
    """What `python3` could run, rather than a command of another kind."""
    if path.endswith((".py", ".pyw", ".pyz", ".zip")) or os.path.isdir(path):
        return True
    try:
        with open(path, "rb") as file:
            first = file.readline(256)
    except OSError:
        return False
    return first.startswith(b"#!") and b"python" in first


def _run_command(command):
    """A program that is not Python itself: its Python children are recorded."""
    child = subprocess.Popen(command)
    while True:
        try:
            status = child.wait()
            break
        except KeyboardInterrupt:
            continue  # it got the signal too, and decides
    return status if status >= 0 else 128 - status


def _run_script(command):
    path = command[0]
    with io.open_code(os.path.abspath(path)) as file:
        code = variables.compile_source(file.read(), os.path.abspath(path))
    main_module = types.ModuleType("__main__")
    main_module.__file__ = path
    main_module.__builtins__ = __builtins__
    sys.modules["__main__"] = main_module
    sys.argv = command
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    _native._shield()
    exec(code, main_module.__dict__)


def _print_error(error):
    """The traceback without our own frames."""
    trace = error.__traceback__
    ours = os.path.dirname(os.path.abspath(__file__))
    while trace and (os.path.dirname(os.path.abspath(trace.tb_frame.f_code.co_filename)) == ours or
                     trace.tb_frame.f_code.co_filename.startswith("<frozen runpy")):
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)


def _shown_name(options):
    """The command as it would be without us."""
    words = [os.path.basename(sys.executable) or "python3"]
    if options.module is not None:
        words += ["-m", options.module]
    return " ".join(words + options.command)


def _recover_left(options):
    """--recover. The exit status."""
    found, failed = kept.recover(
        options.recover + [os.curdir],
        lambda parts, spools, path: join_parts(parts, spools, path, not options.no_file_info,
                                               not options.quiet)[1])
    if not found and not options.quiet:
        print("vizbpf: no killed process has left a record", file=sys.stderr)
    return 1 if failed else 0


def main(arguments):
    global _launch, _first
    options = options_module.parse(arguments)
    if options.recover is not None:
        return _recover_left(options)
    path = options_module.output_path(options, os.getpid())
    program = options.command[0] if options.module is None else None
    is_command = program is not None and not _is_program(program)
    if is_command and (shutil.which(program) is None or options.ignore_multiprocess):
        print("vizbpf: there is no program %s" % program, file=sys.stderr)
        return 2
    if program is not None and not is_command and not os.path.exists(program):
        print("vizbpf: there is no file %s" % program, file=sys.stderr)
        return 2
    folder = tempfile.mkdtemp(prefix="vizbpf-")
    spools = spool.make_folder(folder)
    taken = options_module.tracer_arguments(options)
    follow = not options.ignore_multiprocess
    if follow:
        _prepare_children(folder, spools, taken, options_module.variable_patterns(options))

    def combine():
        held = spool.hold(spools)
        try:
            join_parts(folder, spools, path, not options.no_file_info, not options.quiet)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(spools, ignore_errors=True)
            if held is not None:
                os.close(held)
        if options.open:
            program = shutil.which("vizbpf")
            if program:
                os.spawnv(os.P_NOWAIT, program, [program, "view", path])

    spool.watch(folder, combine)
    _first = (os.getpid(), combine)
    _launch = _Launch(folder, spools, taken, follow)
    _launch.tracer.process_name = _shown_name(options)
    _hook_ends()
    if not options.quiet:
        print("vizbpf: recording from inside the process (root would add, from outside: processes "
              "that run already, other users' and containers')", file=sys.stderr)
    if is_command:
        return _run_command(options.command)
    # The user's program must not find the name of our package in its way.
    sys.modules.pop("vizbpf.__main__", None)
    variables.install(options_module.variable_patterns(options))
    _launch.start()
    return _run(options.module, options.command)
