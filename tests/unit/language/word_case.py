"""A kernel of a few words, what it must compute, and the instructions that it must become: a table for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import tiledsl
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.decorator import TileKernel
from tiledsl.frontend.typenames import dtype_named

Array = np.ndarray[Any, Any]
Inputs = Callable[[np.random.Generator], dict[str, Any]]


@dataclass(frozen=True)
class WordCase:
    """`reference(**inputs)` gives the tensors that the kernel writes. `ptx` are parts of the text for `target`.

    Bit for bit, but for words whose result is an approximation, which have an `rtol`.
    """

    name: str
    kernel: TileKernel
    inputs: Inputs
    reference: Callable[..., Mapping[str, Array]]
    rtol: float = 0.0
    ptx: tuple[str, ...] = ()
    target: str = "sm_80"


class Table(dict[str, WordCase]):
    """The cases of a module by name."""

    def computes(
        self, reference: Callable[..., Mapping[str, Array]], inputs: Inputs, **more: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorates the function of a kernel whose results are those of `reference`."""

        def add(fn: Callable[..., Any]) -> Callable[..., Any]:
            assert fn.__name__ not in self, fn.__name__
            self[fn.__name__] = WordCase(fn.__name__, tiledsl.kernel(fn), inputs, reference, **more)
            return fn

        return add


def zeros(*shape: int, dtype: str = "float32") -> Array:
    return np.zeros(shape, numpy_dtype(dtype_named(dtype)))


def integers(rng: np.random.Generator, *shape: int, low: int = -100, high: int = 100, dtype: str = "int32") -> Array:
    return rng.integers(low, high, shape).astype(numpy_dtype(dtype_named(dtype)))


def floats(
    rng: np.random.Generator, *shape: int, low: float = -4.0, high: float = 4.0, dtype: str = "float32"
) -> Array:
    return rng.uniform(low, high, shape).astype(np.float32).astype(numpy_dtype(dtype_named(dtype)))


def given(**makers: Any) -> Inputs:
    """Inputs from arrays, which are copied, and functions of the random numbers."""

    def make(rng: np.random.Generator) -> dict[str, Any]:
        return {
            n: m(rng) if callable(m) else np.array(m) if isinstance(m, np.ndarray) else m for n, m in makers.items()
        }

    return make


def drawn(maker: Callable[..., Array], *shape: int, **how: Any) -> Callable[[np.random.Generator], Array]:
    """`maker(rng, *shape, **how)`, to be called with the random numbers of a run."""
    return partial(lambda rng: maker(rng, *shape, **how))
