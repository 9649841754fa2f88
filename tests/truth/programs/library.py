# SPDX-License-Identifier: Apache-2.0
# scope: all
# alone: yes
"""Pure Python parts of the standard library, every call of them counted."""
import argparse
import collections
import copy
import decimal
import enum
import fractions
import json.encoder
import string
import textwrap


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


Point = collections.namedtuple("Point", "x y")


def parser():
    parse = argparse.ArgumentParser(prog="p")
    parse.add_argument("--number", type=int, default=3)
    parse.add_argument("names", nargs="*")
    return parse.parse_args(["--number", "4", "a", "b"])


def workload():
    value = {"a": [1, 2, {"b": (3, None, True)}], "c": "text", "d": 1.5}
    encoder = json.encoder.JSONEncoder(indent=1, sort_keys=True)
    for _ in range(10):
        assert encoder.encode(value)
        assert copy.deepcopy(value) == value
    for _ in range(30):
        assert Colour(1) is Colour.RED and Colour["BLUE"].value == 2
        assert Point(1, 2)._replace(x=3) == (3, 2)
        counter = collections.Counter("abracadabra")
        assert counter.most_common(1)[0][0] == "a"
        chain = collections.ChainMap({"a": 1}, {"b": 2})
        assert chain["b"] == 2 and len(chain) == 2
        assert fractions.Fraction(1, 3) + fractions.Fraction(1, 6) == fractions.Fraction(1, 2)
        assert decimal.Decimal("1.1") + 1 == decimal.Decimal("2.1")
    assert textwrap.fill("some words to wrap " * 20, 40)
    assert string.Template("$a and ${b}").substitute(a=1, b=2) == "1 and 2"
    assert parser().number == 4


# What the library imports and caches on first use is done with before anybody looks; twice, for
# imports at the end make the abstract classes forget what the beginning asked them.
workload()
workload()
