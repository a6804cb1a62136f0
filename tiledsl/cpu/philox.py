"""Philox4x32-10: random numbers by counting.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). A block of four words is a
function of a counter of four words and a key of two, in ten rounds; the constants are those of the paper.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Value = Any  # NumPy numbers and arrays of uint32
ROUNDS = 10
_FACTORS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_STEPS = (np.uint32(0x9E3779B9), np.uint32(0xBB67AE85))


def block(counter: tuple[Value, Value, Value, Value], key: tuple[Value, Value]) -> tuple[Value, Value, Value, Value]:
    """The four words of a counter."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        (high0, low0), (high1, low1) = _product(0, c0), _product(1, c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + _STEPS[0], k1 + _STEPS[1]
    return c0, c1, c2, c3


def _product(which: int, x: Value) -> tuple[Value, Value]:
    """The high and the low word of a product."""
    product = np.asarray(x, np.uint64) * _FACTORS[which]
    return (product >> np.uint64(32)).astype(np.uint32), product.astype(np.uint32)


def random_bits(low: Value, high: Value, sequence: Value, sequence_high: Value, key: Value, key_high: Value) -> Value:
    """The word at a position of a sequence: of the block with a quarter of that number, by the rest."""
    words = [np.asarray(w, np.uint32) for w in np.broadcast_arrays(low, high, sequence, sequence_high, key, key_high)]
    low, high, *rest = words
    number = (low >> np.uint32(2) | high << np.uint32(30), high >> np.uint32(2))
    with np.errstate(over="ignore"):  # words wrap
        four = block((*number, rest[0], rest[1]), (rest[2], rest[3]))
    return np.choose(low & np.uint32(3), four).astype(np.uint32)[()]
