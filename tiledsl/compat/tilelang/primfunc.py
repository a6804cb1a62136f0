"""`T.prim_func`: a kernel function that is compiled later, by `tilelang.jit` or `tilelang.compile`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

from tiledsl.decorator import TileKernel
from tiledsl.errors import error


class PrimFunc:
    """A function over tiles and what is known of it before it is compiled. `script()` is its IR."""

    def __init__(self, fn: FunctionType) -> None:
        self.fn = fn
        self.__name__, self.__doc__, self.__module__ = fn.__name__, fn.__doc__, fn.__module__
        self._kernel = TileKernel(fn)  # now, while the enclosing function runs: its names may stand in annotations

    @property
    def name(self) -> str:
        return self.fn.__name__

    def kernel(
        self,
        out_idx: Sequence[int] = (),
        target: str | None = None,
        backend: str | None = None,
        fast_math: bool = False,
        options: Mapping[str, Mapping[str, object]] | None = None,
    ) -> TileKernel:
        """The tiledsl kernel of this function."""
        return TileKernel(self.fn, target, tuple(out_idx), options or {}, backend, fast_math)

    def script(self) -> str:
        """The program as text of tiledsl's IR, before any pass."""
        from tiledsl.ir.printer import text

        return text(self._kernel.trace())

    def show(self) -> None:
        """Prints the program."""
        print(self.script())

    def __repr__(self) -> str:
        return f"<prim_func {self.name}>"


def prim_func(fn: Callable[..., Any]) -> PrimFunc:
    """Decorates a function over tiles, whose tensors are annotated `A: T.Tensor((M, K), "float16")`.

    Raises TileError TD0623 for what is no function.
    """
    if not isinstance(fn, FunctionType):
        raise error("TD0623", given=type(fn).__name__)
    return PrimFunc(fn)
