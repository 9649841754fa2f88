# SPDX-License-Identifier: Apache-2.0
"""A small shop with customers: what `make demo` records.

A few threads, a few layers of calls, some waiting, and an exception now and then.
"""
import heapq
import json
import random
import threading
import time

STOCK = {"tea": 2.5, "coffee": 3.0, "bread": 1.8, "jam": 4.2, "honey": 6.0}


class SoldOut(Exception):
    pass


class Basket:
    def __init__(self):
        self.items = []

    def add(self, name, count):
        if random.random() < 0.05:
            raise SoldOut(name)
        heapq.heappush(self.items, (STOCK[name], name, count))

    @property
    def total(self):
        return sum(price(item) for item in self.items)


def price(item):
    each, _, count = item
    return discount(each * count)


def discount(amount):
    return amount * 0.9 if amount > 10 else amount


def choose():
    names = sorted(STOCK, key=lambda name: STOCK[name])
    return random.choice(names), random.randint(1, 4)


def receipt(basket):
    return json.dumps({"total": round(basket.total, 2), "items": len(basket.items)})


def pay(basket):
    text = receipt(basket)
    time.sleep(0.002)
    return text


def visit():
    basket = Basket()
    for _ in range(random.randint(1, 5)):
        try:
            basket.add(*choose())
        except SoldOut:
            continue
    return pay(basket)


def customer():
    while True:
        visit()


if __name__ == "__main__":
    for n in range(3):
        threading.Thread(target=customer, name="customer-%d" % n, daemon=True).start()
    print("open", flush=True)
    customer()
