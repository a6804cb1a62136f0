"""Matrix products of warps written out: which thread holds what, which instruction does what, all by hand.

`TensorCoreIntrinEmitter` is a library over `T.ptx_ldmatrix` and `T.ptx_mma`, for kernels that want to see every step of
what `T.gemm` does by itself. Its methods are words: they are called in kernels, and become loops over instructions.
"""

from __future__ import annotations

from typing import Any

from tiledsl.frontend.proxies import Scalar
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Slice, Tensor
from tiledsl.frontend.typenames import dtype_named
from tiledsl.ir.dtypes import INDEX, DType
from tiledsl.language.instructions import product_of, ptx_ldmatrix, ptx_mma
from tiledsl.language.launch import get_thread_binding
from tiledsl.language.loops import unroll, vectorized
from tiledsl.language.macros import macro
from tiledsl.language.scalars import cast

_WARP, _ROWS, _INSTRUCTION_COLUMNS = 32, 16, 8


class TensorCoreIntrinEmitter:
    """Loads, products and stores of a block of `block_row_warps` by `block_col_warps` warps, for use in kernels.

    Each warp makes a tile of `warp_row_tiles` by `warp_col_tiles` elements: `warp_rows` times `warp_cols` pieces of
    `micro_size_x` by `micro_size_y`, with steps of `micro_size_k` along k (16 for 16-bit elements, 32 for 8-bit ones).
    A thread holds `local_size_a`, `local_size_b` and `local_size_out` elements of a piece, in T.alloc_local arrays of
    `warp_rows * local_size_a`, `warp_cols * local_size_b` and `warp_rows * warp_cols * local_size_out`.

    A lies in shared memory as (rows, k), with `a_transposed` as (k, rows); B as (k, columns), with `b_transposed` as
    (columns, k). `chunk` is the length of the tiles along k. Warps are numbered along the rows first, with `is_m_first`
    along the columns. Products are of float16 (into float16 or float32), bfloat16, int8, uint8, and, from sm_89 on,
    float8_e4m3 and float8_e5m2. Raises TileError TD0270 for other types, TD0271 for sizes that no instruction has.
    `mma = T.TensorCoreIntrinEmitter(accum_dtype="float32", warp_row_tiles=32, warp_col_tiles=32, chunk=32)`, then
    `mma.ldmatrix_a`, `mma.ldmatrix_b`, `mma.mma` and `mma.stmatrix` (TD0226 for a result of other than 2 or 4
    dimensions).
    """

    def __init__(
        self,
        a_dtype: Any = "float16",
        b_dtype: Any = "float16",
        accum_dtype: Any = "float16",
        a_transposed: bool = False,
        b_transposed: bool = False,
        block_row_warps: int = 2,
        block_col_warps: int = 2,
        warp_row_tiles: int = 16,
        warp_col_tiles: int = 16,
        chunk: int = 16,
        reduce_k: int = 1,
        num_elems_per_byte: int = 1,
        is_m_first: bool | None = False,
        thread_var: Any = None,
    ) -> None:
        self.a_dtype, self.b_dtype, self.accum_dtype = (dtype_named(t) for t in (a_dtype, b_dtype, accum_dtype))
        self.a_transposed, self.b_transposed = a_transposed, b_transposed
        self.block_row_warps, self.block_col_warps = block_row_warps, block_col_warps
        self.warp_row_tiles, self.warp_col_tiles = warp_row_tiles, warp_col_tiles
        self.chunk, self.reduce_k, self.num_elems_per_byte = chunk, reduce_k, num_elems_per_byte
        self.is_m_first, self.thread_var = bool(is_m_first), thread_var
        self.micro_size_x, self.micro_size_k = _ROWS, 256 // self.a_dtype.bits
        self.micro_size_y = 16 if warp_col_tiles % 16 == 0 else _INSTRUCTION_COLUMNS
        self.mma_prefix = f"m16n8k{self.micro_size_k}"
        _check_types(self.mma_prefix, self.accum_dtype, self.a_dtype, self.b_dtype)
        for size, step, what in (
            (warp_row_tiles, _ROWS, "warp_row_tiles"),
            (warp_col_tiles, _INSTRUCTION_COLUMNS, "warp_col_tiles"),
            (chunk, self.micro_size_k, "chunk"),
        ):
            if size < step or size % step:
                raise fail("TD0271", what=what, size=size, step=step, shape=self.mma_prefix, type=self.a_dtype)
        self.warp_rows, self.warp_cols = warp_row_tiles // _ROWS, warp_col_tiles // self.micro_size_y
        self.local_size_a = _ROWS * self.micro_size_k // _WARP
        self.local_size_b = self.micro_size_y * self.micro_size_k // _WARP
        self.local_size_out = _ROWS * self.micro_size_y // _WARP
        self.threads = _WARP * block_row_warps * block_col_warps * reduce_k

    def get_thread_binding(self) -> Any:
        """The number of this thread in the block, or `thread_var`."""
        return get_thread_binding() if self.thread_var is None else self.thread_var

    def extract_thread_binding(self, thread_id: Any, is_m_first: bool | None = None) -> tuple[Any, Any, Any]:
        """(lane, warp along the columns, warp along the rows) of thread `thread_id`."""
        lane, warp = thread_id % _WARP, thread_id // _WARP
        if self.is_m_first if is_m_first is None else is_m_first:
            return lane, warp % self.block_col_warps, warp // self.block_col_warps % self.block_row_warps
        return lane, warp // self.block_row_warps % self.block_col_warps, warp % self.block_row_warps

    def ldmatrix_a(self, A_local: Any, A_shared: Any, ki: Any, rk: Any = 0, thread_binding: Any = None) -> None:
        """Loads this warp's rows of A, for step `ki` along k, into registers.

        `rk` is the number of a chunk, where the tile has several. By ldmatrix, but for 8-bit elements that lie
        transposed, which the threads load one by one.
        """
        _, _, warp_m = self._place(thread_binding)
        across = (warp_m * self.warp_row_tiles, self.micro_size_x, self.warp_rows)
        along = rk * self.chunk + ki * self.micro_size_k
        self._load(A_local, A_shared, across, along, self.a_dtype, not self.a_transposed, "A", thread_binding)

    def ldmatrix_b(self, B_local: Any, B_shared: Any, ki: Any, rk: Any = 0, thread_binding: Any = None) -> None:
        """Loads this warp's columns of B, for step `ki` along k, into registers, as `ldmatrix_a` does rows of A."""
        _, warp_n, _ = self._place(thread_binding)
        across = (warp_n * self.warp_col_tiles, self.micro_size_y, self.warp_cols)
        along = rk * self.chunk + ki * self.micro_size_k
        self._load(B_local, B_shared, across, along, self.b_dtype, self.b_transposed, "B", thread_binding)

    def mma(self, A_local: Any, B_local: Any, C_local: Any) -> None:
        """`C += A @ B` for this warp's pieces, on what `ldmatrix_a` and `ldmatrix_b` loaded."""
        _multiply(self, A_local, B_local, C_local)

    def stmatrix(self, C_local: Any, C: Any, pid_m: Any = None, pid_n: Any = None, thread_binding: Any = None) -> None:
        """Stores this warp's pieces of the result, converted to the dtype of `C`.

        `C` is a tile of shared memory of shape (rows, columns), or (row pieces, column pieces, micro_size_x,
        micro_size_y); or a tensor of one of these shapes in global memory, whose block (`pid_m`, `pid_n`) it is.
        """
        lane, warp_n, warp_m = self._place(thread_binding)
        row = warp_m * self.warp_rows + (0 if pid_m is None else pid_m * (self.block_row_warps * self.warp_rows))
        column = warp_n * self.warp_cols + (0 if pid_n is None else pid_n * (self.block_col_warps * self.warp_cols))
        if not isinstance(C, Tensor) or len(C.shape) not in (2, 4):
            raise fail("TD0226", word="stmatrix", name="C", value=repr(C), allowed="a tensor of 2 or 4 dimensions")
        _store(self, C_local, C, row, column, lane)

    # ---- helpers

    def _place(self, thread_binding: Any) -> tuple[Any, Any, Any]:
        return self.extract_thread_binding(self.get_thread_binding() if thread_binding is None else thread_binding)

    def _load(
        self,
        local: Any,
        shared: Any,
        across: tuple[Any, int, int],
        along: Any,
        dtype: DType,
        k_is_last: bool,
        operand: str,
        thread_binding: Any,
    ) -> None:
        """`across` is the first row (or column), and size and number of the pieces; `along` the first place along k."""
        tensor, rest, corner = _matrix(shared, operand)
        lane, _, _ = self._place(thread_binding)
        if dtype.bits == 8 and not k_is_last:
            _load_elements(self, local, tensor, rest, corner, across, along, lane, operand)
            return
        x, k = _row_of_lane(lane, operand, across[1], dtype.bits, k_is_last)
        _load_matrices(self, local, tensor, rest, corner, across, (x, along + k), lane, k_is_last)


def _check_types(shape: str, d: DType, a: DType, b: DType) -> None:
    if product_of(shape, d, a, b) is None:
        known = "float16 into float16 or float32, bfloat16 and float8 into float32, int8 and uint8 into int32"
        raise fail("TD0270", what=f"mma.{shape} of {a} and {b} into {d}", known=known)


def _matrix(shared: Any, operand: str) -> tuple[Tensor, tuple[Any, ...], tuple[Any, Any]]:
    """The tensor, the indices of all but the last two dimensions, and the corner of the part that was given."""
    if isinstance(shared, Slice):
        tensor, offsets = shared.tensor, shared.offsets
        at = [Scalar(o, INDEX, shared.tensor.frame) for o in offsets]
        return tensor, tuple(at[:-2]), (at[-2], at[-1])
    if not isinstance(shared, Tensor) or len(shared.shape) != 2:
        value = repr(shared)
        raise fail(
            "TD0226", word="ldmatrix", name=f"{operand}_shared", value=value, allowed="a matrix in shared memory"
        )
    return shared, (), (0, 0)


def _row_of_lane(lane: Any, operand: str, size: int, bits: int, k_is_last: bool) -> tuple[Any, Any]:
    """Where the row of a matrix begins whose address this lane gives: (row of A or column of B, place along k).

    Registers of A go through the rows first, then along k; those of B the other way round. A stored row runs along
    k, or, of a transposed matrix, across it.
    """
    number, row = lane // 8 % (2 if size == 8 else 4), lane % 8
    wide = 128 // bits  # elements of 16 bytes
    first, second = number % 2, number // 2
    x, k = (first, second) if operand == "A" else (second, first)
    return (x * 8 + row, k * wide) if k_is_last else (x * 8, k * 8 + row)


@macro
def _load_matrices(
    self: Any, local: Any, tensor: Any, rest: Any, corner: Any, across: Any, at: Any, lane: Any, k_is_last: Any
) -> None:
    start, size, count = across
    held = size * self.micro_size_k // _WARP
    for i in unroll(count):
        x = start + i * size + at[0]
        place = (corner[0] + x, corner[1] + at[1]) if k_is_last else (corner[0] + at[1], corner[1] + x)
        count_8 = 2 if size == 8 else 4
        ptx_ldmatrix(tensor.dtype, not k_is_last, count_8, ".b16", local, i * held, tensor[(*rest, *place)])


@macro
def _load_elements(
    self: Any, local: Any, tensor: Any, rest: Any, corner: Any, across: Any, along: Any, lane: Any, operand: Any
) -> None:
    """As ldmatrix would, if it could transpose bytes: registers of 4 elements along k."""
    start, size, count = across
    held = size * self.micro_size_k // _WARP
    for i in unroll(count):
        for r in unroll(held // 4):
            first, second = r % 2, r // 2
            half, step = (first, second) if operand == "A" else (second, first)
            for e in unroll(4):
                x = start + i * size + half * 8 + lane // 4
                k = along + step * 16 + lane % 4 * 4 + e
                local[i * held + r * 4 + e] = tensor[(*rest, corner[0] + k, corner[1] + x)]


@macro
def _multiply(self: Any, A_local: Any, B_local: Any, C_local: Any) -> None:
    halves = self.micro_size_y // _INSTRUCTION_COLUMNS
    size_a, size_b, size_c = self.local_size_a, self.local_size_b // halves, self.local_size_out // halves
    types = (self.a_dtype, self.b_dtype, self.accum_dtype)
    for i in unroll(self.warp_rows):
        for j in unroll(self.warp_cols * halves):
            c = (i * (self.warp_cols * halves) + j) * size_c
            held = (A_local, i * size_a, B_local, j * size_b, C_local, c)
            ptx_mma(self.accum_dtype, self.mma_prefix, "row", "col", *types, *held)


@macro
def _store(self: Any, C_local: Any, C: Any, row: Any, column: Any, lane: Any) -> None:
    height, width, held = self.micro_size_x, self.micro_size_y, self.local_size_out
    for i in unroll(self.warp_rows):
        for j in unroll(self.warp_cols):
            for r in unroll(held // 2):
                for e in vectorized(2):
                    y, x = r % 2 * 8 + lane // 4, r // 2 * 8 + lane % 4 * 2 + e
                    value = cast(C_local[(i * self.warp_cols + j) * held + r * 2 + e], C.dtype)
                    if len(C.shape) == 2:
                        C[(row + i) * height + y, (column + j) * width + x] = value
                    else:
                        C[row + i, column + j, y, x] = value
