# SPDX-License-Identifier: Apache-2.0
"""The cell magic: %load_ext vizbpf, then %%vizbpf [options of `python -m vizbpf`]."""
import os
import shlex
import shutil
import subprocess

from . import options as options_module, variables
from .tracer import VizTracer


def run_cell(shell, line, cell, namespace):
    """Runs the cell's code recorded; returns the tracer, or None when the options are wrong."""
    try:
        options = options_module.parse(shlex.split(line) + ["cell"])
    except SystemExit:  # it has said what is wrong, or helped
        return None
    path = options_module.output_path(options, os.getpid())
    variables.install(options_module.variable_patterns(options))
    code = variables.compile_source(shell.transform_cell(cell), "<cell>")
    tracer = VizTracer(output_file=path, verbose=0, file_info=not options.no_file_info,
                       **options_module.tracer_arguments(options))
    tracer.start()
    try:
        tracer.shield_ignore(exec, code, namespace, namespace)
    finally:
        tracer.stop()
        tracer.save()
    if not options.quiet:
        print("vizbpf: %d events in %s" % (tracer.total_entries, path))
    if options.open and shutil.which("vizbpf"):
        subprocess.Popen(["vizbpf", "view", path])
    return tracer


def load_ipython_extension(ipython):
    """Called by %load_ext vizbpf."""
    def vizbpf(line, cell):
        run_cell(ipython, line, cell, ipython.user_ns)

    vizbpf.__doc__ = run_cell.__doc__
    ipython.register_magic_function(vizbpf, magic_kind="cell", magic_name="vizbpf")
