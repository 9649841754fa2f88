# SPDX-License-Identifier: Apache-2.0
"""Functions with any name and any file."""

SOURCE = "\n" * 4 + "def function():\n    return (lambda: 1)()\n"


def rename(code, name):
    if hasattr(code, "replace"):
        more = {"co_qualname": "Outer." + name} if hasattr(code, "co_qualname") else {}
        return code.replace(co_name=name, **more)
    # Before 3.8 a code object had to be made from all of its parts.
    return type(code)(code.co_argcount, code.co_kwonlyargcount, code.co_nlocals,
                      code.co_stacksize, code.co_flags, code.co_code, code.co_consts,
                      code.co_names, code.co_varnames, code.co_filename, name,
                      code.co_firstlineno, code.co_lnotab, code.co_freevars, code.co_cellvars)


def make_all(names, files):
    functions = []
    for file in files:
        for name in names:
            scope = {}
            exec(compile(SOURCE, file, "exec"), scope)
            function = scope["function"]
            function.__code__ = rename(function.__code__, name)
            functions.append(function)
    return functions
