# SPDX-License-Identifier: Apache-2.0
# needs: 3.7
# scope: own
"""Generated methods: dataclasses and typing."""
import dataclasses
import typing


@dataclasses.dataclass(order=True)
class Item:
    name: str
    price: float = 0.0
    tags: typing.List[str] = dataclasses.field(default_factory=list)

    def __post_init__(self):
        self.total = self.price * 2


@dataclasses.dataclass(frozen=True)
class Fixed:
    n: int

    def double(self):
        return self.n * 2


class Shape(typing.NamedTuple):
    width: int
    height: int = 1

    def area(self):
        return self.width * self.height


class Generic:
    def __class_getitem__(cls, item):
        return item


def local(i):
    @dataclasses.dataclass
    class Local:
        n: int = i

        def get(self):
            return self.n
    return Local().get()


def workload():
    for i in range(60):
        items = [Item("b", i), Item("a", 2.0)]
        assert sorted(items)[0].name == "a" and items[0] != items[1]
        assert repr(items[0]) and Fixed(i).double() == 2 * i
        assert hash(Fixed(1)) == hash(Fixed(1))
        assert Shape(2).area() == 2
        assert Generic[i] == i
    for i in range(3):
        assert local(i) == i
