"""Every word of the language has an example in its docstring, every example can be traced, and errors have names."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from word_examples import trace_example

import tiledsl.language as T
from tiledsl.catalogue import CATALOGUE
from tiledsl.compile import lower
from tiledsl.errors import TileError
from tiledsl.frontend.proxies import TypeWord
from tiledsl.target import target_named

WORDS = [name for name in T.__all__ if not isinstance(getattr(T, name), TypeWord)]


def spans_of(doc: str) -> list[str]:
    """What stands in backquotes."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", doc)]


def examples_of(word: str, doc: str) -> list[str]:
    """What does more with the word than to name it."""
    return [s for s in spans_of(doc) if re.search(rf"\bT\.{word}\b", s) and not re.fullmatch(r"[\w.]+", s)]


def calls_of(doc: str) -> list[str]:
    """What calls any word."""
    return [s for s in spans_of(doc) if re.search(r"\bT\.\w+[(\[]", s)]


def problems(word: str, doc: str) -> list[str]:
    """What is wrong with the code in a docstring."""
    found = [] if examples_of(word, doc) else [f"T.{word} has no example"]
    for example in dict.fromkeys([*examples_of(word, doc), *calls_of(doc)]):
        try:
            trace_example(word, example)
        except (TileError, SyntaxError, NameError, AttributeError, TypeError) as problem:
            found.append(f"{example}: {problem}")
    return found


@pytest.mark.parametrize("word", WORDS)
def test_examples_can_be_traced(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # T.plot_layout writes a file
    assert problems(word, inspect.getdoc(getattr(T, word)) or "") == []


@pytest.mark.slow
@pytest.mark.parametrize("word", WORDS)
def test_no_pass_refuses_an_example(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    doc = inspect.getdoc(getattr(T, word)) or ""
    for example in dict.fromkeys([*examples_of(word, doc), *calls_of(doc)]):
        lower(trace_example(word, example), target_named("sm_90a"))


@pytest.mark.parametrize(
    ("word", "doc", "wrong"),
    [
        ("copy", "Copies a tile, as `T.fill(C_local, 0)` fills one.", "T.copy has no example"),
        ("copy", "`T.copy` copies a tile.", "T.copy has no example"),
        ("copy", "Copies a tile: `T.copy(A[by * 64, k * 32])`.", "TypeError"),
        ("copy", "Copies a tile: `T.copy(A[by * 64, k * 32], A_shared, width=4)`.", "TypeError"),
        ("copy", "Copies a tile: `T.copy(A_shared, B_shared)`.", "TD0213"),
        ("copy", "Copies a tile: `T.copy(src, dst)`.", "NameError"),
        ("copy", "Copies: `T.copy(A[by * 64, k * 32], A_shared)`, or `T.copied(A_shared)`.", "TD0102"),
        ("shfl", "As T.shfl_up: `y = T.shfl(x, 0)`; `T.shfl(x, 0, width=5)`.", "TD0226"),
        ("serial", "A loop: `for k in T.serial(n)`.", "expected ':'"),
        ("Tensor", "A tensor: `A: T.Tensor((M, K), T.float17)`.", "TD0102"),
        ("macro", "Decorates: `@T.macro(x)`.", "name 'x' is not defined"),
    ],
)
def test_wrong_examples_are_found(word: str, doc: str, wrong: str) -> None:
    found = problems(word, doc)
    assert len(found) == 1 and wrong in found[0], found


# ------------------------------------------------------------------------------------------------------------ errors


def codes_in(doc: str) -> set[str]:
    """The codes that a docstring names; "TD0215 to TD0217" are three."""
    found = set(re.findall(r"TD\d{4}", doc))
    for first, last in re.findall(r"TD(\d{4}) to TD(\d{4})", doc):
        found |= {f"TD{n:04}" for n in range(int(first), int(last) + 1)}
    return found


def unnamed(source: str, doc: str) -> set[str]:
    """The codes that a word raises in its own source, and that its docstring does not name."""
    return set(re.findall(r'\b(?:fail|error)\(\s*"(TD\d{4})"', source)) - codes_in(doc)


@pytest.mark.parametrize("word", WORDS)
def test_errors_are_named(word: str) -> None:
    found = getattr(T, word)
    doc = inspect.getdoc(found) or ""
    assert codes_in(doc) <= CATALOGUE.keys()
    source = inspect.getsource(found if inspect.isroutine(found) or inspect.isclass(found) else type(found))
    assert unnamed(source, doc) == set()


def test_unnamed_errors_are_found() -> None:
    source = 'raise fail("TD0226", word=word)\nraise error(\n    "TD0216", span)\nraise fail("TD0105" if x else code)'
    assert unnamed(source, "Raises TileError TD0226.") == {"TD0216", "TD0105"}
    assert unnamed(source, "Raises TileError TD0105, TD0215 to TD0217, TD0226.") == set()


WRONG_USES = [
    ("StridedTensor", "A: T.StridedTensor((M, K), (1,), T.float16)", "TD0222"),
    ("Tensor", "A: T.Tensor((M, 0), T.float16)", "TD0221"),
    ("Tensor", "A: T.Tensor[M]", "TD0124"),
    ("dynamic", 'm = T.dynamic("m n!")', "TD0142"),
    ("dynamic", 'm = T.dynamic("m", T.float32)', "TD0209"),
    ("empty", "with T.Kernel(1): D = T.empty((M, N))", "TD0143"),
    ("make_tensor", 'A = T.make_tensor(p, (n, 64), "float16", strides=(1,))', "TD0222"),
    ("async_copy", "T.async_copy(A[0:8, 0:8], A_shared)", "TD0213"),
    ("async_copy", "T.async_copy(C[0, 0], A_shared)", "TD0254"),
    ("ptx_wait_group", "T.ptx_wait_group(n)", "TD0226"),
    ("tma_copy", "T.tma_copy(A[by * 64, k * 32], A_shared)", "TD0250"),
    ("tma_copy", "T.tma_copy(C_shared, C[0, 0], barrier=bar)", "TD0226"),
    ("atomic_add", "T.atomic_add(C_local[i, j], x)", "TD0219"),
    ("atomic_add", "T.atomic_add(C[0, 0], C_shared, return_prev=True)", "TD0242"),
    ("atomic_add", "T.atomic_add(C[0:8, 0:8], x)", "TD0243"),
    ("atomic_add", "T.atomic_add(T.view(A_shared, (64, 64), T.int8)[i, j], 1)", "TD0248"),
    ("atomic_or", "T.atomic_or(Y[i], 1)", "TD0223"),
    ("alloc_barrier", "b = T.alloc_barrier([128, 64])", "TD0226"),
    ("create_list_of_mbarrier", "with T.ws(0): T.create_list_of_mbarrier(1)", "TD0250"),
    ("barrier_wait", "T.barrier_wait(0, 0)", "TD0250"),
    ("barrier_wait", "T.barrier_wait(bar, 2)", "TD0226"),
    ("barrier_wait", "T.barrier_wait(A_shared, 0)", "TD0250"),
    ("mbarrier_expect_tx", "T.mbarrier_expect_tx(bar, 1 << 20)", "TD0226"),
    ("mbarrier_arrive_expect_tx", "T.mbarrier_arrive_expect_tx(bar, n)", "TD0220"),
    ("cluster_sync", "for i in T.Parallel(64): T.cluster_sync()", "TD0129"),
    ("address_of", "p = T.address_of(T.alloc_var(T.int32, 0))", "TD0235"),
    ("tvm_access_ptr", 'p = T.tvm_access_ptr("float32", A.data, 0, 64, 1)', "TD0226"),
    ("use_swizzle", "T.use_swizzle(True)", "TD0226"),
    ("annotate_l2_hit_ratio", "T.annotate_l2_hit_ratio({n: 0.5})", "TD0235"),
    ("annotate_restrict_buffers", "T.annotate_restrict_buffers(A_shared)", "TD0226"),
    ("annotate_layout", "T.annotate_layout({A_shared: T.Layout((8, 8), lambda i, j: i * 8 + j)})", "TD0307"),
    ("annotate_layout", "T.annotate_layout({A: T.Layout((M, K), lambda i, j: i * K + j)})", "TD0236"),
    ("Kernel", "with T.Kernel(1, 1) as (bx, by, bz):", "TD0131"),
    ("Kernel", "with T.Kernel(1, threads=2048):", "TD0224"),
    ("Kernel", "with T.Kernel(True):", "TD0224"),
    ("Kernel", "with T.Kernel(1, threads=True):", "TD0221"),
    ("launch_thread", 'bx = T.launch_thread("blockIdx.w", n)', "TD0226"),
    ("make_full_bank_swizzled_layout", "T.make_full_bank_swizzled_layout(A_shared)", "TD0307"),
    ("Layout", "T.Layout((8, 8), lambda i, j: i)", "TD0306"),
    ("Fragment", "T.Fragment((8, 8))", "TD0307"),
    ("Parallel", "for i in T.Parallel(n):", "TD0220"),
    ("Parallel", "for i in T.Parallel():", "TD0221"),
    ("Parallel", "for i in T.Parallel(True):", "TD0221"),
    ("Pipelined", "for k in T.Pipelined(8, order=[0], stage=[0, 1]):", "TD0227"),
    ("thread_binding", "for tx in T.thread_binding(64):", "TD0228"),
    ("alloc_shared", "S = T.alloc_shared((n, 8), T.float16)", "TD0220"),
    ("alloc_fragment", "S = T.alloc_fragment((0, 8), T.float16)", "TD0221"),
    ("alloc_fragment", "S = T.alloc_fragment((True, 8), T.float16)", "TD0221"),
    ("view", "v = T.view(A_shared, (8, 8))", "TD0237"),
    ("reshape", "v = T.reshape(x, (8, 8))", "TD0235"),
    ("add2", "p = T.add2(x, y)", "TD0285"),
    ("reduce_sum", "T.reduce_sum(C, row)", "TD0219"),
    ("reduce_sum", "T.reduce_sum(C_local, row, dim=2)", "TD0239"),
    ("reduce_sum", "T.reduce_sum(C_local, C_shared)", "TD0240"),
    ("reduce_sum", "T.reduce_sum(C_local, T.alloc_fragment((64,), T.int32))", "TD0241"),
    ("reduce_bitor", "T.reduce_bitor(C_local, row)", "TD0223"),
    ("cumsum", "T.cumsum(C_shared, row)", "TD0213"),
    ("any_of", "if T.any_of(row):", "TD0219"),
    ("ws", "with T.ws(7):", "TD0251"),
    ("set_max_nreg", "T.set_max_nreg(7, 1)", "TD0226"),
    ("ceildiv", "q = T.ceildiv(n, 0)", "TD0244"),
    ("floormod", "q = T.floormod(n, 0)", "TD0244"),
    ("truncdiv", "q = T.truncdiv(x, y)", "TD0223"),
    ("infinity", "q = T.infinity(T.int8)", "TD0245"),
    ("popcount", "q = T.popcount(x)", "TD0223"),
    ("reinterpret", "q = T.reinterpret(T.uint16, x)", "TD0246"),
    ("ws_op", 'with T.ws_op(""):', "TD0226"),
    ("copy", "T.copy(A_shared, B_shared)", "TD0213"),
    ("copy", "T.copy(C_shared, Y[i])", "TD0214"),
    ("copy", "for i in T.Parallel(64): T.copy(A[0, 0], A_shared)", "TD0129"),
    ("copy_cluster", "T.copy_cluster(C_shared, C_shared, dst_block=2)", "TD0226"),
    ("copy_cluster", "T.copy_cluster(A[0:64, 0:32], A_shared, dst_block=1)", "TD0254"),
    ("copy_cluster", "T.copy_cluster(C_shared, C_shared, dst_block=1, remote_barrier=x)", "TD0250"),
    ("im2col", "T.im2col(A, A_shared, by, k, 3, 1, 1, 1)", "TD0257"),
    ("im2col", "T.im2col(image, A_shared, by, k, 64, 1, 1, 1)", "TD0258"),
    ("transpose", "T.transpose(A_shared, C_shared)", "TD0238"),
    ("gemm", "T.gemm(row, B_shared, C_local)", "TD0215"),
    ("gemm", "T.gemm(A_shared, A_shared, C_local)", "TD0216"),
    ("gemm", "T.gemm(A_shared, B_shared, T.alloc_fragment((8, 8), T.float32))", "TD0217"),
    ("gemm", "T.gemm(A_shared, B_shared, T.alloc_fragment((64, 64), T.int32))", "TD0218"),
    ("gemm", "T.gemm(A, B_shared, C_local)", "TD0219"),
    ("shfl_xor", "q = T.shfl_xor(x, 1, mask=1)", "TD0226"),
    ("get_warp_group_idx", "q = T.get_warp_group_idx(-1)", "TD0226"),
    ("syncthreads_count", "with T.ws(0): c = T.syncthreads_count(x > y)", "TD0103"),
    ("__ldg", "q = T.__ldg(A_shared[i, j])", "TD0219"),
    ("ldg32", "q = T.ldg32(A[i, 1])", "TD0286"),
]


@pytest.mark.parametrize(("word", "use", "code"), WRONG_USES)
def test_errors_are_those_that_docstrings_name(word: str, use: str, code: str) -> None:
    with pytest.raises(TileError) as raised:
        trace_example(word, use)
    assert raised.value.code == code
    assert code in codes_in(inspect.getdoc(getattr(T, word)) or "")
