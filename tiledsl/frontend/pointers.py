"""Parameters that are pointers: memory of the call, of which the kernel itself says what tensor it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tiledsl.frontend.traced import Poison
from tiledsl.frontend.typenames import dtype_named
from tiledsl.ir.dtypes import DType


@dataclass(frozen=True, slots=True)
class PointerType:
    """The annotation of a parameter that is memory of the call: `p: T.ptr`.

    `p: T.ptr(T.float16)` says the dtype of its elements too. The caller passes a tensor of any shape, of which the
    memory from its first element on counts; the kernel says by `A = T.make_tensor(p, (n, 64), T.float16)` what it is.
    Other `storage_scope`s are TileError TD0226.
    """

    dtype: DType | None = None

    def __call__(self, dtype: Any = None, storage_scope: str = "global") -> PointerType:
        if storage_scope != "global":
            return _refuse(storage_scope)
        return PointerType(None if dtype is None else dtype_named(dtype))


def _refuse(scope: str) -> PointerType:
    from tiledsl.frontend.source import fail

    raise fail("TD0226", word="T.ptr", name="storage_scope", value=repr(scope), allowed="'global'")


class Pointer(Poison):
    """A pointer parameter until T.make_tensor: any other use is an error TD0151."""

    __slots__ = ("name", "type")

    def __init__(self, name: str, type_: PointerType) -> None:
        super().__init__("TD0151", name=name)
        self.name, self.type = name, type_
