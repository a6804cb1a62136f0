"""The memory of a block of threads on tokens: an array of tokens for each buffer on chip, the tensors, and views."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tiledsl.ir.nodes import Buffer, Kernel, Launch, Space, Var, View
from tiledsl.ir.walk import statements
from tiledsl.verifiers.values import Evaluator, GlobalMemory, Mask, as_token, initial, mix
from tiledsl.verifiers.world import World, tensors

_STEP = np.uint64(0x9E3779B97F4A7C15)


class ThreadMemory(Evaluator):
    """`data`: whether tokens are kept on chip; if not, loads find tokens of their places."""

    def __init__(self, kernel: Kernel, launch: Launch, world: World, env: dict[Var, Any], *, data: bool) -> None:
        super().__init__(env)
        self.data = data
        self.names = tensors(kernel)
        self.memory = GlobalMemory(world.shapes)
        self.threads = launch.num_threads
        self.safe = {v.buffer: v.value for v in launch.safe_values}
        self.roots: dict[Buffer, Buffer] = {}
        self.bytes: dict[Buffer, Any] = {}  # of shared memory
        self.registers: dict[Buffer, Any] = {}
        self.units: dict[Buffer, int] = {}  # bytes that a token stands for: of the smallest element of all views
        for n in statements(launch):
            if isinstance(n, View):
                self.roots[n.buffer] = self.roots.get(n.source, n.source)
                root = self.roots[n.buffer]
                self.units[root] = min(_bytes(n.buffer), self.units.get(root, _bytes(root)))

    def storage(self, b: Buffer) -> tuple[Buffer, Any]:
        """The buffer that owns the bytes of `b`, and their tokens: a row for each thread if LOCAL, else one."""
        root = self.roots.get(b, b)
        held = self.registers if root.space is Space.LOCAL else self.bytes
        if root not in held:
            size = -(-root.versions * version_bytes(root) // self.units.get(root, _bytes(root)))
            held[root] = np.zeros((self.threads if root.space is Space.LOCAL else 1, size), np.uint64)
        return root, held[root]

    def places(self, b: Buffer, indices: Sequence[Any], version: Any, lanes: int = 1) -> tuple[Any, int]:
        """(first byte, bytes) of `lanes` elements from `indices` on."""
        linear: Any = 0
        for i, n in zip(indices, b.shape):
            linear = linear * n + i
        size = max(1, lanes * b.dtype.bits // 8)
        root = self.roots.get(b, b)
        return linear * b.dtype.bits // 8 + (version * version_bytes(root) if root.versions > 1 else 0), size

    def fetch(self, b: Buffer, indices: list[Any], version: Any, on: Mask, *, lanes: int = 1) -> Any:
        """Tokens of (threads, lanes) elements."""
        direct = self.direct(b, indices, lanes)
        if direct is not None:
            return direct[0][:, direct[1] : direct[1] + lanes].copy()
        indices = [np.asarray(i)[..., None] if np.ndim(i) else i for i in indices]
        indices = [*indices[:-1], indices[-1] + np.arange(lanes)] if indices else indices
        if b.space is Space.GLOBAL:
            found = self.memory.read(self.names[b], b.dtype, indices)
            inside = self.memory.inside(self.names[b], indices)
            if np.all(inside):
                return found
            outside = as_token(self.value(self.safe[b], on)) if b in self.safe else np.uint64(0)
            return np.where(inside, found, outside)
        if not self.data:
            return initial(mix(b.name, *indices), b.dtype)
        held, row, at = self.cells(b, indices, version, lanes)
        size = at.shape[-1]
        if size == 1:
            return held[row, at][..., 0]
        pieces = held[row, at] - np.arange(size, dtype=np.uint64) * _STEP
        whole = (pieces == pieces[..., :1]).all(axis=-1)
        mixed = initial(mix(*(pieces[..., i] for i in range(size))), b.dtype) if not whole.all() else pieces[..., 0]
        return np.where(whole, pieces[..., 0], mixed)

    def put(self, b: Buffer, indices: list[Any], version: Any, tokens: Any, on: Mask, *, lanes: int = 1) -> None:
        """Stores tokens of (threads, lanes) elements."""
        direct = self.direct(b, indices, lanes) if on is True else None
        if direct is not None:
            direct[0][:, direct[1] : direct[1] + lanes] = tokens
            return
        indices = [np.asarray(i)[..., None] if np.ndim(i) else i for i in indices]
        indices = [*indices[:-1], indices[-1] + np.arange(lanes)] if indices else indices
        where = np.broadcast_to(np.reshape(np.broadcast_to(on, (self.threads,)), (-1, 1)), (self.threads, lanes))
        tokens = np.broadcast_to(tokens, (self.threads, lanes))
        if b.space is Space.GLOBAL:
            indices = [np.broadcast_to(i, (self.threads, lanes)) for i in indices]
            self.memory.write(self.names[b], indices, tokens, where)
        elif self.data:
            held, row, at = self.cells(b, indices, version, lanes)
            size = at.shape[-1]
            pieces = tokens[..., None] + np.arange(size, dtype=np.uint64) * _STEP if size > 1 else tokens[..., None]
            if on is True:
                held[row, at] = pieces
            else:
                row = np.broadcast_to(row, at.shape)
                held[row[where], at[where]] = pieces[where]

    def spread(self, b: Buffer, starts: Any, tokens: Any | None = None) -> Any:
        """Tokens of elements of shared memory that begin at the bytes `starts`, anywhere; stores `tokens` if given."""
        root, held = self.storage(b)
        unit = self.units.get(root, _bytes(root))
        count = max(1, _bytes(b) // unit)
        at = np.clip(starts[:, None] // unit + np.arange(count), 0, held.shape[1] - 1)
        steps = np.arange(count, dtype=np.uint64) * _STEP
        if tokens is not None:
            held[0, at] = tokens[:, None] + steps
        pieces = held[0, at] - steps
        whole = (pieces == pieces[:, :1]).all(axis=1)
        return np.where(whole, pieces[:, 0], mix(*(pieces[:, i] for i in range(count))))

    def direct(self, b: Buffer, indices: list[Any], lanes: int) -> tuple[Any, int] | None:
        """Registers that are the same in all threads, with their place; None where this is no such access."""
        if b.space is not Space.LOCAL or not self.data or b in self.roots or b in self.units or len(indices) != 1:
            return None
        at, (_, held) = indices[0], self.storage(b)
        return (held, at) if type(at) is int and 0 <= at <= held.shape[1] - lanes else None

    def cells(self, b: Buffer, indices: list[Any], version: Any, lanes: int) -> tuple[Any, Any, Any]:
        """The tokens of the storage of `b`, and rows and places in them of (threads, lanes, units) elements."""
        root, held = self.storage(b)
        unit = self.units.get(root, _bytes(root))
        start, size = self.places(b, indices, version)
        first = np.asarray(start)[..., None] // unit
        at = np.clip(first + np.arange(max(1, size // unit)), 0, held.shape[1] - 1)
        at = np.broadcast_to(at, (self.threads, lanes, at.shape[-1]))
        return held, (np.arange(self.threads)[:, None, None] if held.shape[0] > 1 else 0), at


def version_bytes(b: Buffer) -> int:
    """Bytes of one version; elements of less than a byte are packed."""
    return -(-prod(n for n in b.shape if isinstance(n, int)) * b.dtype.bits // 8)


def _bytes(b: Buffer) -> int:
    return max(1, b.dtype.bits // 8)
