"""Copies by the copy engine against NumPy: tiles by tensor maps, im2col, reductions, consecutive bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hopper_helpers import (
    MODES,
    aligned,
    aligned_copy,
    codes,
    compiled_for_sm_90a,
    findings_of,
    mapped,
    module,
    swizzled,
)

from tiledsl.tensor_map import Im2col

pytestmark = pytest.mark.cxx
DTYPES = (np.uint8, np.uint16, np.uint32, np.uint64)
MOST = 16 * 1024


def loader(coordinates: int, im2col: bool = False, multicast: bool = False) -> str:
    """Loads one box and copies shared memory as it is; coordinates come from memory."""
    c = ", ".join(f"(int)tds::load(at + {i})" for i in range(coordinates))
    to = "tds::shared_base(), map, bar, 1" if multicast else "tds::shared_base(), map, bar"
    call = f"tds::tma_load{'_im2col' if im2col else ''}{'_multicast' if multicast else ''}({to}, {c});"
    return f"""
TDS_KERNEL(64, 1) k(TDS_TENSOR_MAP map, const int* at, tds::u32* out, int bytes) {{
  const tds::u32 bar = tds::shared_base() + {MOST};
  const int t = tds::thread_index();
  if (t == 0) {{
    tds::mbarrier_init(bar, 1);
    tds::fence_mbarrier_init();
  }}
  tds::barrier();
  if (t == 0) {{
    tds::mbarrier_arrive_expect_tx(bar, bytes);
    {call}
  }}
  tds::mbarrier_wait(bar, 0);
  for (int i = t; i < bytes / 4; i += 64) tds::store(out + i, tds::load_shared<tds::u32>(tds::shared_base() + 4 * i));
}}
TDS_EXPORT(k)
"""


def storer(rank: int, operation: str = "tma_store") -> str:
    c = ", ".join(f"(int)tds::load(at + {i})" for i in range(rank))
    return f"""
TDS_KERNEL(64, 1) k(TDS_TENSOR_MAP map, const int* at, const tds::u32* in, int bytes) {{
  const int t = tds::thread_index();
  for (int i = t; i < bytes / 4; i += 64) tds::store_shared<tds::u32>(tds::shared_base() + 4 * i, tds::load(in + i));
  tds::fence_proxy_async();
  tds::barrier();
  if (t == 0) {{
    tds::{operation}(map, tds::shared_base(), {c});
    tds::bulk_commit();
    tds::bulk_wait<0>();
  }}
}}
TDS_EXPORT(k)
"""


class Case:
    """A random tensor, box and position, partly or wholly out of bounds."""

    def __init__(self, rank: int, swizzle: int, dtype: Any, seed: int, steps: bool = False) -> None:
        rng = np.random.default_rng(seed)
        size = np.dtype(dtype).itemsize
        inner = (swizzle or 64) // size
        padded = -(-int(rng.integers(inner, 2 * inner + 1)) * size // 16) * 16 // size
        shape = [*(int(n) for n in rng.integers(3, 9, rank - 1)), padded]
        self.box = [*(int(n) for n in rng.integers(1, 5, rank - 1)), inner]
        self.steps = [*(int(n) for n in rng.integers(1, 4, rank - 1)), 1] if steps else [1] * rank
        self.swizzle = swizzle
        self.array = aligned_copy(rng.integers(0, 256, (*shape[:-1], padded * size)).astype(np.uint8).view(dtype))
        low = [-2] * (rank - 1) + [-inner // 2]
        self.at = [int(rng.integers(lo, n)) for lo, n in zip(low, shape)]

    @property
    def taken(self) -> list[int]:
        return [-(-n // s) for n, s in zip(self.box, self.steps)]

    @property
    def bytes(self) -> int:
        return int(np.prod(self.taken)) * self.array.itemsize

    def where(self) -> tuple[Any, Any]:
        """For each element of the box its position in the tensor, and whether that exists."""
        axes = [a + np.arange(n) * s for a, n, s in zip(self.at, self.taken, self.steps)]
        position = np.meshgrid(*axes, indexing="ij")
        inside = np.ones(self.taken, bool)
        for p, n in zip(position, self.array.shape):
            inside &= (p >= 0) & (p < n)
        return tuple(np.where(inside, p, 0) for p in position), inside

    def expected_box(self) -> Any:
        position, inside = self.where()
        return np.where(inside, self.array[position], 0).astype(self.array.dtype)

    def image(self, box: Any) -> Any:
        """Shared memory, as bytes, that holds the box."""
        raw = np.zeros(self.bytes, np.uint8)
        raw[swizzled(np.arange(self.bytes), self.swizzle)] = np.ascontiguousarray(box).reshape(-1).view(np.uint8)
        return raw

    def map(self) -> Any:
        return mapped("source", self.array, self.box, swizzle=self.swizzle, steps=tuple(self.steps))

    def coordinates(self) -> Any:
        return np.array(self.at[::-1], np.int32)  # the hardware counts from the innermost dimension


RUNS = [(rank, swizzle) for rank in range(1, 6) for swizzle in (0, 32, 64, 128)]


@pytest.mark.parametrize("checked", [False, True], ids=["plain", "checked"])
@pytest.mark.parametrize(("rank", "swizzle"), RUNS)
def test_loads_of_every_rank_swizzle_and_element_size(rank: int, swizzle: int, checked: bool) -> None:
    text = loader(rank)
    for number, dtype in enumerate(DTYPES):
        for steps in (False, True):
            case = Case(rank, swizzle, dtype, 100 * rank + swizzle + number, steps)
            expected = case.image(case.expected_box())
            for mode in MODES:
                out = np.full(case.bytes, 77, np.uint8)
                arguments = [case.map(), case.coordinates(), out.view(np.uint32), np.int32(case.bytes)]
                module(text, checked=checked).launch("k", (1,), 64, MOST + 8, arguments, mode=mode, seed=number)
                np.testing.assert_array_equal(out, expected, err_msg=f"{dtype} {case.box} {case.at} {mode}")


@pytest.mark.parametrize(("rank", "swizzle"), RUNS)
def test_stores_of_every_rank_swizzle_and_element_size(rank: int, swizzle: int) -> None:
    text = storer(rank)
    for number, dtype in enumerate(DTYPES):
        case = Case(rank, swizzle, dtype, 7 * rank + swizzle + number)
        box = Case(rank, swizzle, dtype, 1).array.reshape(-1)
        box = np.resize(box, case.taken)
        position, inside = case.where()
        before = case.array.copy()
        expected = before.copy()
        expected[tuple(p[inside] for p in position)] = box[inside]
        for mode in MODES:
            case.array[...] = before
            arguments = [case.map(), case.coordinates(), case.image(box).view(np.uint32), np.int32(case.bytes)]
            assert not findings_of(text, arguments, threads=64, shared_bytes=MOST, mode=mode)
            np.testing.assert_array_equal(case.array, expected, err_msg=f"{dtype} {case.box} {case.at} {mode}")


REDUCTIONS = {
    "add": (lambda a, b: a + b, ("uint32", "int32", "uint64", "int64", "float16", "float32", "bfloat16")),
    "min": (np.minimum, ("uint32", "int32", "float16", "int64")),
    "max": (np.maximum, ("uint32", "int32", "float16", "uint64")),
    "and": (np.bitwise_and, ("uint32", "int64")),
    "or": (np.bitwise_or, ("uint32", "int64")),
    "xor": (np.bitwise_xor, ("uint32", "int64")),
}


@pytest.mark.parametrize("operation", REDUCTIONS)
def test_stores_that_combine_with_memory(operation: str) -> None:
    """Two blocks reduce into the same tile, each at its own time."""
    combine, dtypes = REDUCTIONS[operation]
    text = storer(2, f"tma_reduce_{operation}")
    rng = np.random.default_rng(0)
    for name in dtypes:
        import ml_dtypes

        dtype = ml_dtypes.bfloat16 if name == "bfloat16" else np.dtype(name)
        low = 0 if name.startswith("uint") else -9
        tile = rng.integers(low, 10, (8, 16)).astype(dtype)
        memory = aligned_copy(rng.integers(low, 10, (12, 32)).astype(dtype))
        expected = memory.copy()
        for _ in range(2):
            expected[3:11, 16:32] = combine(expected[3:11, 16:32], tile)
        at = np.array([16, 3], np.int32)
        map_ = mapped("target", memory, (8, 16), name)
        arguments = [map_, at, tile.reshape(-1).view(np.uint32), np.int32(tile.nbytes)]
        assert not findings_of(text, arguments, threads=64, grid=(2,), mode="random")
        np.testing.assert_array_equal(memory.astype(np.float64), expected.astype(np.float64), err_msg=name)


@pytest.mark.parametrize("rank", [3, 4, 5])
@pytest.mark.parametrize("swizzle", [0, 64, 128])
def test_im2col_loads(rank: int, swizzle: int) -> None:
    """The rows of the matrix that a convolution with padding and stride multiplies, for each place in the filter."""
    rng = np.random.default_rng(rank + swizzle)
    images, channels = 3, 64
    space = [5, 6, 7][: rank - 2]
    tensor = aligned_copy(rng.integers(1, 1000, (images, *space, channels)).astype(np.uint16))
    stride, pad, kernel = 2 if swizzle else 1, 1, 3
    lower = (-pad,) * (rank - 2)
    upper = (pad - (kernel - 1),) * (rank - 2)
    taken, pixels = (swizzle or 64) // 2, 32
    im2col = Im2col(lower, upper, taken, pixels)
    map_ = mapped("image", tensor, (), swizzle=swizzle, steps=(1, *[stride] * (rank - 2), 1), im2col=im2col)
    # All pixels of the boxes of all images in order, then those that do not exist.
    box = [range(lo, n + hi, stride) for lo, hi, n in zip(lower, upper, space)]
    order = [(n, *p) for n in range(images + 20) for p in np.ndindex(*[len(b) for b in box])]
    text = loader(2 * rank - 2, im2col=True, multicast=swizzle == 64)
    for offsets in ((0,) * (rank - 2), tuple(range(rank - 2)), (kernel - 1,) * (rank - 2)):
        first, c0 = int(rng.integers(0, 40)), int(rng.choice([-16, 0, 16, 48]))
        expected = np.zeros((pixels, taken), np.uint16)
        for i, (n, *p) in enumerate(order[first : first + pixels]):
            at = [b[x] + o for b, x, o in zip(box, p, offsets)]
            if n < images and all(0 <= x < extent for x, extent in zip(at, space)):
                expected[i] = np.pad(tensor[(n, *at)], taken)[c0 + taken : c0 + 2 * taken]
        n, *p = order[first]
        start = [c0, *[b[x] for b, x in zip(box, p)][::-1], n, *offsets[::-1]]
        bytes_ = pixels * taken * 2
        raw = np.zeros(bytes_, np.uint8)
        raw[swizzled(np.arange(bytes_), swizzle)] = expected.reshape(-1).view(np.uint8)
        for mode in MODES:
            out = np.zeros(bytes_, np.uint8)
            arguments = [map_, np.array(start, np.int32), out.view(np.uint32), np.int32(bytes_)]
            assert not findings_of(text, arguments, threads=64, shared_bytes=MOST + 8, mode=mode)
            np.testing.assert_array_equal(out, raw, err_msg=f"{offsets} {first} {mode}")


def test_elements_out_of_bounds_may_be_nan() -> None:
    array = aligned((4, 32), np.float32)
    out = np.zeros((8, 32), np.float32)
    map_ = mapped("source", array, (8, 32), fill_nan=True)
    assert not findings_of(
        loader(2),
        [map_, np.array([0, 0], np.int32), out.view(np.uint32), np.int32(1024)],
        threads=64,
        shared_bytes=MOST + 8,
    )
    assert np.isnan(out[4:]).all() and not np.isnan(out[:4]).any()


BYTES = """
TDS_KERNEL(32, 1) k(const tds::u32* in, tds::u32* out, int bytes) {
  const tds::u32 shared = tds::shared_base(), bar = shared + 2048;
  const int t = tds::thread_index();
  if (t == 0) {
    tds::mbarrier_init(bar, 1);
    tds::fence_mbarrier_init();
    tds::bulk_prefetch(in, bytes);
    tds::mbarrier_arrive_expect_tx(bar, bytes);
    tds::bulk_load(shared + 32, in, bytes, bar);
  }
  tds::barrier();
  tds::mbarrier_wait(bar, 0);
  for (int i = t; i < bytes / 4; i += 32) {
    const tds::u32 at = shared + 32 + 4 * i;
    tds::store_shared<tds::u32>(at, tds::load_shared<tds::u32>(at) + 1);
  }
  tds::fence_proxy_async();
  tds::barrier();
  if (t == 0) {
    tds::bulk_store(out + 4, shared + 32, bytes);
    tds::bulk_commit();
    tds::bulk_wait_read<0>();
  }
}
TDS_EXPORT(k)
"""


@pytest.mark.parametrize("mode", MODES)
def test_copies_of_consecutive_bytes(mode: str) -> None:
    source, out = aligned((256,), np.uint32), aligned((260,), np.uint32)
    source[:] = np.arange(256) * 7
    assert not findings_of(BYTES, [source, out, np.int32(1024)], mode=mode, seed=2)
    np.testing.assert_array_equal(out[4:], source + 1)
    assert not out[:4].any()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (BYTES.replace("shared + 32, in", "shared + 24, in"), "TD0806"),
        (BYTES.replace("in, bytes, bar)", "in + 1, bytes - 16, bar)"), "TD0806"),
        (BYTES.replace("in, bytes, bar)", "in + 4, bytes, bar)"), "TD0802"),
        (BYTES.replace("out + 4, shared + 32, bytes", "out + 8, shared + 32, bytes"), "TD0802"),
        (BYTES.replace("out + 4, shared + 32, bytes", "out + 4, shared + 1024, 4096"), "TD0802"),
        (BYTES.replace("tds::bulk_wait_read<0>();", ""), "TD0853"),
        (BYTES.replace("tds::fence_proxy_async();", ""), "TD0815"),
        (BYTES.replace("tds::fence_mbarrier_init();", ""), "TD0846"),
        (BYTES.replace("tds::mbarrier_wait(bar, 0);", ""), "TD0816"),
        (BYTES.replace("tds::mbarrier_wait(bar, 0);", ""), "TD0808"),
        (BYTES.replace("tds::mbarrier_wait(bar, 0);", "return;"), "TD0808"),
    ],
)
def test_misuse_of_byte_copies_is_found(text: str, code: str) -> None:
    assert text != BYTES
    for mode in MODES:
        source, out = aligned((256,), np.uint32), aligned((260,), np.uint32)
        assert code in codes(findings_of(text, [source, out, np.int32(1024)], mode=mode))


ARRIVING = """
TDS_KERNEL(32, 1) k(const tds::u32* in, tds::u32* out, int bytes) {
  const tds::u32 shared = tds::shared_base(), bar = shared + 2048;
  const int t = tds::thread_index();
  if (t == 0) tds::mbarrier_init(bar, 32);
  tds::barrier();
  for (int i = t; i < bytes / 4; i += 32) tds::cp_async_4(shared + 4 * i, in + i, true);
  tds::cp_async_mbarrier_arrive_noinc(bar);
  tds::mbarrier_wait(bar, 0);
  tds::fence_proxy_async();
  if (t == 0) {
    tds::bulk_store(out, shared, bytes);
    tds::bulk_commit();
    tds::bulk_wait_read<0>();
  }
}
TDS_EXPORT(k)
"""


@pytest.mark.parametrize("mode", MODES)
def test_what_cp_async_has_written_needs_a_fence_of_its_reader(mode: str) -> None:
    """It writes as threads do, other than what the copy engine brings."""
    for text, codes_found in ((ARRIVING, set()), (ARRIVING.replace("tds::fence_proxy_async();", ""), {"TD0815"})):
        source, out = aligned((256,), np.uint32), aligned((256,), np.uint32)
        source[:] = np.arange(256)
        assert codes(findings_of(text, [source, out, np.int32(1024)], mode=mode)) == codes_found
        np.testing.assert_array_equal(out, source)


ROUNDS = BYTES.replace(
    "tds::mbarrier_wait(bar, 0);",
    """tds::mbarrier_wait(bar, 0);
  tds::barrier();
  if (t == 0) {
    tds::mbarrier_arrive_expect_tx(bar, bytes);
    tds::bulk_load(shared + 32, in, bytes, bar);
  }
  WAIT""",
)


@pytest.mark.parametrize("mode", MODES)
def test_a_copy_that_is_in_flight_when_the_block_ends_is_found(mode: str) -> None:
    """Of each phase: one thread that has seen it end is enough, one that has seen an earlier one is not."""

    def found(text: str) -> set[str]:
        source, out = aligned((256,), np.uint32), aligned((260,), np.uint32)
        return codes(findings_of(text, [source, out, np.int32(1024)], mode=mode))

    assert found(ROUNDS.replace("WAIT", "tds::mbarrier_wait(bar, 1);")) == set()
    assert found(ROUNDS.replace("WAIT", "if (t == 5) tds::mbarrier_wait(bar, 1); return;")) == set()
    assert found(ROUNDS.replace("WAIT", "return;")) == {"TD0808"}
    assert found(ARRIVING.replace("tds::mbarrier_wait(bar, 0);", "return;")) == {"TD0808"}


# Threads write global memory, which the copy engine then reads and writes.
BACK = """
TDS_KERNEL(32, 1) k(tds::u32* a, tds::u32* b, int bytes) {
  const tds::u32 shared = tds::shared_base(), bar = shared + 2048;
  const int t = tds::thread_index();
  if (t == 0) {
    tds::mbarrier_init(bar, 1);
    tds::fence_mbarrier_init();
  }
  for (int i = t; i < bytes / 4; i += 32) {
    tds::store(a + i, tds::u32(3 * i));
    tds::store(b + i, tds::u32(i));
  }
  FENCE
  tds::barrier();
  if (t == 0) {
    tds::mbarrier_arrive_expect_tx(bar, bytes);
    tds::bulk_load(shared, LOADED, bytes, bar);
  }
  tds::mbarrier_wait(bar, 0);
  if (t == 0) {
    tds::bulk_store(b, shared, bytes);
    tds::bulk_commit();
    tds::bulk_wait_read<0>();
  }
}
TDS_EXPORT(k)
"""


@pytest.mark.parametrize("loaded", ["a", "b"])
@pytest.mark.parametrize("mode", MODES)
def test_the_copy_engine_sees_global_memory_after_a_fence_for_it(mode: str, loaded: str) -> None:
    for fence, expected in (
        ("tds::fence_proxy_async_global();", set()),
        ("tds::fence_proxy_async();", {"TD0815"}),
        ("tds::fence();", {"TD0815"}),
    ):
        a, b = aligned((256,), np.uint32), aligned((256,), np.uint32)
        text = BACK.replace("FENCE", fence).replace("LOADED", loaded)
        assert codes(findings_of(text, [a, b, np.int32(1024)], mode=mode)) == expected, fence
        np.testing.assert_array_equal(b, np.arange(256) * (3 if loaded == "a" else 1))


def test_misuse_of_tensor_maps_is_found() -> None:
    case = Case(2, 0, np.uint32, 3)
    out = np.zeros(case.bytes, np.uint8).view(np.uint32)
    three = np.zeros(3, np.int32)
    found = findings_of(loader(3), [case.map(), three, out, np.int32(case.bytes)], threads=64, shared_bytes=MOST + 8)
    assert codes(found) == {"TD0854"}
    text = loader(2).replace("tma_load(tds::shared_base(), map", "tma_load(tds::shared_base() + 64, map")
    found = findings_of(
        text, [case.map(), case.coordinates(), out, np.int32(case.bytes)], threads=64, shared_bytes=MOST + 8
    )
    assert codes(found) == {"TD0806"}


@pytest.mark.parametrize(
    "text",
    [
        *(
            BYTES,
            BACK.replace("FENCE", "tds::fence_proxy_async_global();").replace("LOADED", "a"),
            loader(1),
            loader(5),
            loader(8, im2col=True),
            loader(8, im2col=True, multicast=True),
        ),
        storer(3, "tma_reduce_xor"),
    ],
)
def test_the_same_texts_compile_for_sm_90a(text: str) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    if "im2col" in text:
        text = text.replace("(int)tds::load(at + 5)", "(tds::u16)tds::load(at + 5)")
    assert compiled_for_sm_90a(text).cubin


OVERWRITTEN = """
TDS_KERNEL(64, 1) k(tds::u32* out) {
  const tds::u32 shared = tds::shared_base();
  const int t = tds::thread_index();
  tds::store_shared<tds::u32>(shared + 4 * t, (tds::u32)t);
  tds::fence_proxy_async();
  tds::barrier();
  if (t == 0) {
    tds::bulk_store(out, shared, 256);
    tds::bulk_commit();
    FIRST
  }
  tds::barrier();
  tds::store_shared<tds::u32>(shared + 4 * t, 7u);
  if (t == 0) tds::bulk_wait<0>();
}
TDS_EXPORT(k)
"""


@pytest.mark.parametrize("mode", MODES)
def test_sources_that_have_been_read_may_be_overwritten_before_the_store_is_complete(mode: str) -> None:
    """The later wait for the whole store says nothing new of its sources."""
    out = aligned((64,), np.uint32)
    text = OVERWRITTEN.replace("FIRST", "tds::bulk_wait_read<0>();")
    assert not findings_of(text, [out], threads=64, shared_bytes=256, mode=mode)
    np.testing.assert_array_equal(out, np.arange(64, dtype=np.uint32))
    found = findings_of(OVERWRITTEN.replace("FIRST", ""), [out], threads=64, shared_bytes=256, mode=mode)
    assert {f.code for f in found} == {"TD0817"}
