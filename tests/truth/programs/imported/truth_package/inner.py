# SPDX-License-Identifier: Apache-2.0
def function():
    return 2
