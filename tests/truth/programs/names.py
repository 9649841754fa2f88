# SPDX-License-Identifier: Apache-2.0
# scope: own
"""Names that break writers: other alphabets, quotes, newlines, control characters."""
import names_common

NAMES = [
    "naïve", "функция", "関数", "f𝔘n", "with space", 'quo"te', "apos'trophe", "back\\slash",
    "new\nline", "tab\there", "cr\rhere", "bell\x07", "escape\x1b[31m", "del\x7f", "nel\x85",
    "sep\u2028", "{json}", "</script>", "%s%n", "a (b.py:1)", "comma,", "colon:", "smile😀",
    "<lambda>", "", "ÿ", "\ufeffbom", "é" * 60,
]
FILES = [
    "<own plain>", "<own naïve.py>", "<own 関数.py>", "<own 😀.py>", '<own "quoted".py>',
    "<own back\\slash.py>", "<own new\nline.py>", "<own \x1b[31mred.py>", "<own \x01\x02.py>",
    "<own %s.py>", "<own (x.py:3)>",
]
FUNCTIONS = names_common.make_all(NAMES, FILES)


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
