# SPDX-License-Identifier: Apache-2.0
"""Methods, properties, constructors and operators of small classes."""


class Vector:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y)

    @property
    def square(self):
        return self.x * self.x + self.y * self.y

    def scaled(self, factor):
        return type(self)(self.x * factor, self.y * factor)


class Particle:
    def __init__(self, position, speed):
        self.position = position
        self.speed = speed

    @property
    def energy(self):
        return self.speed.square / 2

    def step(self, seconds):
        self.position = self.position + self.speed.scaled(seconds)
        return self.energy


def workload(scale):
    particles = [Particle(Vector(i, -i), Vector(1, i)) for i in range(10)]
    total = 0
    for _ in range(1500 * scale):
        for particle in particles:
            total += particle.step(0.01)
    return total
