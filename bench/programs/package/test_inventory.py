# SPDX-License-Identifier: Apache-2.0
import pytest

from inventory import Empty, Inventory


@pytest.fixture
def inventory():
    inventory = Inventory()
    inventory.add("nail", 10)
    return inventory


@pytest.mark.parametrize("count", range(1, 30))
def test_add(inventory, count):
    inventory.add("screw", count)
    assert len(inventory) == 10 + count


@pytest.mark.parametrize("count", [0, -1])
def test_add_nothing(inventory, count):
    with pytest.raises(ValueError):
        inventory.add("screw", count)


def test_take_all(inventory):
    for _ in range(10):
        assert inventory.take("nail") == "nail"
    with pytest.raises(Empty):
        inventory.take("nail")
