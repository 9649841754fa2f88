# SPDX-License-Identifier: Apache-2.0
"""From the recorder to a file."""
import gzip
import json
import os
import shutil
import subprocess
import tempfile
import time

from . import _native

_SOURCE_MAX = 1 << 20  # bytes of one source file that are kept in the trace
_SOURCES_MAX = 32 << 20  # of all of them


def base_time():
    """CLOCK_REALTIME - CLOCK_MONOTONIC, ns: aligns traces of several hosts."""
    return time.time_ns() - time.monotonic_ns()


def source_info(seen=None):
    """VizTracer's "file_info": sources, and where each function is, for the viewer. @seen: (JSON
    name, file, line) of the functions, if not those that this process has recorded."""
    files, functions, left = {}, {}, _SOURCES_MAX
    for name, path, line in _native._functions() if seen is None else seen:
        if path not in files:
            text = _read_source(path, left)
            if text is None:
                continue
            left -= len(text)
            files[path] = [text, text.count("\n") + 1]
        functions[json.loads('"%s"' % name)] = [path, line]
    return {"files": files, "functions": functions}


def _read_source(path, left):
    if not os.path.isabs(path):
        return None
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > min(_SOURCE_MAX, left):
            return None
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def metadata(overflow, sync_marker=None):
    from . import __version__

    data = {"version": __version__, "overflow": overflow, "baseTimeNanoseconds": base_time()}
    if sync_marker is not None:
        data["sync_marker"] = sync_marker
    return data


def write_fragment(file, process_name):
    """The events alone, ",\\n" between them, into an open binary file. (events, overflow)"""
    file.flush()
    calls, others = _native._write(file.fileno(), process_name)
    _kept, evicted, lost, dropped = _native._counts()
    return calls + others, bool(evicted or lost or dropped)


def finish(file, file_info, overflow, sync_marker=None, killed=()):
    """What stands behind the events. @killed: pids of processes that could not save."""
    file.write(b'\n],"viztracer_metadata":')
    file.write(json.dumps(metadata(overflow, sync_marker)).encode())
    if file_info:
        file.write(b',"file_info":')
        file.write(json.dumps(file_info).encode())
    if killed:
        file.write(b',"vizbpf_metadata":')
        file.write(json.dumps({"killed": sorted(killed)}).encode())
    file.write(b"}\n")
    file.flush()


def _write_json(file, process_name, with_source, sync_marker, has_record):
    file.write(b'{"traceEvents":[\n')
    file.flush()
    count, overflow = write_fragment(file, process_name) if has_record else (0, False)
    finish(file, source_info() if with_source and has_record else None, overflow, sync_marker)
    return count, overflow


def put_in_place(made, path):
    """Moves a complete JSON file to where it was asked for, in the form that its name says."""
    if path.endswith(".gz"):
        with open(made, "rb") as source, gzip.open(made + ".gz", "wb", compresslevel=5) as packed:
            shutil.copyfileobj(source, packed, 1 << 20)
        os.unlink(made)
        os.replace(made + ".gz", path)
    elif path.endswith(".json"):
        os.replace(made, path)
    else:
        convert(made, path)


def convert(made, path):
    """Other formats are the vizbpf program's."""
    program = shutil.which("vizbpf")
    try:
        if program is None:
            raise ValueError("%s: only .json and .gz can be written without the program vizbpf "
                             "(vizbpf convert makes the others)" % path)
        subprocess.run([program, "convert", made, "-o", path], check=True)
    finally:
        os.unlink(made)


def temporary_beside(path):
    """An open file that will become @path: readable as @path would be."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fd, made = tempfile.mkstemp(prefix=".vizbpf-", suffix=".json", dir=os.path.dirname(path))
    mask = os.umask(0o077)
    os.umask(mask)
    os.fchmod(fd, 0o666 & ~mask)
    return os.fdopen(fd, "wb"), made


def write_trace(target, process_name, with_source, sync_marker, has_record):
    """To a path, or a file object. (events, overflow)"""
    if not isinstance(target, str):
        with tempfile.TemporaryFile() as file:
            result = _write_json(file, process_name, with_source, sync_marker, has_record)
            file.seek(0)
            if hasattr(target, "encoding"):
                target.write(file.read().decode("utf-8"))
            else:
                shutil.copyfileobj(file, target)
        return result
    file, made = temporary_beside(target)
    try:
        with file:
            result = _write_json(file, process_name, with_source, sync_marker, has_record)
    except BaseException:
        os.unlink(made)
        raise
    put_in_place(made, target)
    return result
