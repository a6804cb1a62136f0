"""Tensor maps of a launch: from what the compiler says of them and the sizes of the call to what a driver encodes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import prod

from tiledsl.runtime.signature import MapParameter, Signature, evaluate
from tiledsl.tensor_map import TensorMap, map_of_elements


def check_maps(signature: Signature, numbers: Mapping[str, int]) -> None:
    """The driver's rules for every tensor map of the launches that a call makes.

    Raises TileError TD0650 to TD0652, which name the tensor, the dimension, the value and the rule.
    """
    for e in signature.entries:
        grid = [evaluate(x, numbers) for x in e.grid] if e.maps else []
        if grid and prod(grid) > 0:
            for m in e.maps:
                map_of(m, numbers)


def map_of(p: MapParameter, numbers: Mapping[str, int]) -> TensorMap:
    """The tensor map of `p` with the sizes of a call. Raises as `check_maps`."""
    shape = tuple(evaluate(e, numbers) for e in p.shape)
    strides = None if p.strides is None else tuple(evaluate(e, numbers) for e in p.strides)
    return _made(p.tensor, p.dtype, shape, p.box, strides, p.swizzle, p.window)


_made = lru_cache(maxsize=1024)(map_of_elements)  # calls repeat
