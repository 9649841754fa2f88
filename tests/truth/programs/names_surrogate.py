# SPDX-License-Identifier: Apache-2.0
# scope: own
# alone: yes
"""Names that are not text: what surrogateescape makes of bytes that are no UTF-8.

CPython's own probe code up to 3.10 raises UnicodeEncodeError for them into the program.
"""
import names_common

FUNCTIONS = names_common.make_all(["plain", "lone \udc80", "\ud800"],
                                  ["<own plain>", "<own \udcff bytes>"])


def workload():
    for function in FUNCTIONS:
        for _ in range(5):
            function()
