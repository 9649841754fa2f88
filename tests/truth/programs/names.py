# SPDX-License-Identifier: Apache-2.0
# scope: own
"""Names that break writers: other alphabets, quotes, newlines, control characters."""

NAMES = [
    "naïve", "функция", "関数", "f𝔘n", "with space", 'quo"te', "apos'trophe", "back\\slash",
    "new\nline", "tab\there", "cr\rhere", "bell\x07", "escape\x1b[31m", "del\x7f", "nel\x85",
    "sep\u2028", "{json}", "</script>", "%s%n", "a (b.py:1)", "comma,", "colon:", "smile😀",
    "<lambda>", "", "ÿ", "\ufeffbom", "é" * 60,
]
FILES = [
    "<own plain>", "<own naïve.py>", "<own 関数.py>", "<own 😀.py>", '<own "quoted".py>',
    "<own back\\slash.py>", "<own new\nline.py>", "<own \x1b[31mred.py>", "<own \x01\x02.py>",
    "<own %s.py>", "<own (x.py:3)>", "<own \udc80 surrogate>",
]
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


def make_all():
    functions = []
    for file in FILES:
        for name in NAMES:
            scope = {}
            # compile() wants a file name that can be encoded; replaced below where it cannot be.
            exec(compile(SOURCE, file, "exec"), scope)
            function = scope["function"]
            function.__code__ = rename(function.__code__, name)
            functions.append(function)
    return functions


FUNCTIONS = make_all()


def größe():
    return 1


class Käse:
    def öffne(self):
        return größe()


def workload():
    for function in FUNCTIONS:
        function()
    for _ in range(5):
        assert Käse().öffne() == 1
