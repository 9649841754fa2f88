# SPDX-License-Identifier: Apache-2.0
VALUES = [n for n in range(3)]


class Thing:
    field = 1


def function():
    return Thing.field
