"""Words that change how a kernel is compiled and launched: what reaches NVRTC, the text, the passes and the driver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.errors import TileError, VerifyError
from tiledsl.ir.nodes import Persisting
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import same
from tiledsl.runtime.arguments import Tensor, bind
from tiledsl.runtime.driver import Shape, Window
from tiledsl.runtime.packing import Slot
from tiledsl.runtime.program import Program

n = T.dynamic("n")
X = np.arange(200, dtype=np.float32)


def made(annotate: Callable[..., None], **how: Any) -> Any:
    """A kernel that adds, with annotations above its launch and in it."""

    @tiledsl.kernel(target="sm_90a", **how)
    def kernel(A: T.Tensor((n,), "float32"), B: T.Tensor((n,), "float32"), C: T.Tensor((n,), "float32")):
        with T.Kernel(T.ceildiv(n, 128), threads=128) as b:
            annotate(A, B, C)
            for i in T.Parallel(128):
                C[b * 128 + i] = T.exp(A[b * 128 + i]) + B[b * 128 + i]

    return kernel


@pytest.mark.parametrize("backend", ["tile", "simt", "cpu"])
@pytest.mark.parametrize(
    "annotate",
    [
        lambda A, B, C: T.annotate_l2_hit_ratio({A: 0.5}),
        lambda A, B, C: T.annotate_restrict_buffers(B, C),
        lambda A, B, C: T.annotate_compile_flags("--use_fast_math"),
        lambda A, B, C: T.annotate_pass_configs({"vectorise": {}}),
    ],
    ids=["l2", "restrict", "flags", "passes"],
)
def test_no_value_changes(annotate: Any, backend: str) -> None:
    plain, hinted = np.zeros_like(X), np.zeros_like(X)
    made(lambda *_: None)(X / 100, X, plain, backend=backend)
    made(annotate)(X / 100, X, hinted, backend=backend)
    assert np.array_equal(plain, hinted)


@pytest.mark.parametrize("backend", ["tile", "simt", "cpu"])
def test_overlapping_tensors_keep_the_order_of_a_thread(backend: str) -> None:
    @tiledsl.kernel(target="sm_80")
    def kernel(A: T.Tensor((64,), "int32"), B: T.Tensor((64,), "int32"), C: T.Tensor((2, 64), "int32")):
        T.annotate_restrict_buffers(A, B)
        with T.Kernel(1, threads=64):
            t = T.get_thread_binding()
            C[0, t] = A[t]
            B[t] = 7
            C[1, t] = A[t]

    a, c = np.arange(64, dtype=np.int32), np.zeros((2, 64), np.int32)
    kernel(a, a, c, backend=backend)
    assert np.array_equal(c, [np.arange(64), np.full(64, 7)])


def test_pointers_of_overlapping_tensors_promise_nothing() -> None:
    lines = made(lambda A, B, C: T.annotate_restrict_buffers(B, C)).compile().source.splitlines()
    (head,) = (line for line in lines if line.startswith("TDS_KERNEL("))
    assert "(const float* TDS_RESTRICT A, const float* B, float* C, tds::i32 n)" in head.replace("tds::f32", "float")


def test_a_value_without_a_name_does_not_outlive_a_store_through_the_other_tensor() -> None:
    @tiledsl.kernel(target="sm_80")
    def kernel(A: T.Tensor((64,), "int32"), B: T.Tensor((64,), "int32")):
        T.annotate_restrict_buffers(A, B)
        with T.Kernel(1, threads=64):
            t = T.get_thread_binding()
            kept = [A[t] + 1]
            B[t] = 7
            B[t] = kept[0]

    with pytest.raises(TileError, match="written") as caught:
        kernel.compile()
    assert caught.value.span.file == __file__


def pipelined(*, annotated: bool, writes: bool) -> Any:
    @tiledsl.kernel(target="sm_80")
    def kernel(A: T.Tensor((256, 64), "float16"), B: T.Tensor((256, 64), "float16")):
        if annotated:
            T.annotate_restrict_buffers(A, B)
        with T.Kernel(1, threads=128):
            S = T.alloc_shared((64, 64), "float16")
            for k in T.Pipelined(4, num_stages=2):
                T.copy(A[k * 64, 0], S)
                if writes:
                    T.copy(S, B[k * 64, 0])
            T.copy(S, B[0, 0])

    return kernel


def test_pipelines_do_not_read_ahead_of_what_they_write() -> None:
    pipelined(annotated=True, writes=False).compile()
    pipelined(annotated=False, writes=True).compile()
    with pytest.raises(TileError) as caught:
        pipelined(annotated=True, writes=True).compile()
    assert caught.value.code == "TD0150" and caught.value.span.file == __file__


def test_flags_reach_nvrtc() -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    plain = made(lambda *_: None).compile()
    fast = made(lambda *_: T.annotate_compile_flags("--use_fast_math --maxrregcount=32")).compile()
    assert fast.lowered.flags == ("--use_fast_math", "--maxrregcount=32") and plain.lowered.flags == ()
    assert made(lambda *_: T.annotate_compile_flags(["--use_fast_math"]), fast_math=True).compile().lowered.flags == (
        "--use_fast_math",
    )
    assert fast.source == plain.source and fast.ptx != plain.ptx
    assert "ex2.approx.ftz" in fast.ptx and ".maxnreg" not in plain.ptx
    with pytest.raises(TileError) as caught:
        made(lambda *_: T.annotate_compile_flags(["--no-such-option"])).compile().ptx  # noqa: B018
    assert caught.value.code == "TD0903"


def test_options_reach_their_pass_and_the_decorator_has_the_last_word() -> None:
    def annotate(*_: Any) -> None:
        T.annotate_pass_configs({"plan-shared-memory": {"reuse": False}})
        T.annotate_pass_configs({"guard-bounds": {}, "plan-shared-memory": {"reuse": 3}})

    with pytest.raises(TileError) as caught:
        made(annotate).compile()
    assert caught.value.code == "TD0763"
    made(annotate, options={"plan-shared-memory": {"reuse": True}}).compile()
    for wrong, code in (({"no-pass": {"a": 1}}, "TD0761"), ({"unroll": {"a": 1}}, "TD0762")):
        with pytest.raises(TileError) as caught:
            made(lambda *_, given=wrong: T.annotate_pass_configs(given)).compile()
        assert caught.value.code == code


def two_tiles(reuse: bool) -> Any:
    @tiledsl.kernel(target="sm_80")
    def kernel(A: T.Tensor((4, 128, 128), "float32"), B: T.Tensor((4, 128, 128), "float32")):
        T.annotate_pass_configs({"plan-shared-memory": {"reuse": reuse}})
        with T.Kernel(4, threads=128) as b:
            S = T.alloc_shared((128, 128), "float32")
            R = T.alloc_shared((128, 128), "float32")
            T.copy(A[b, 0, 0], S)
            T.copy(S, B[b, 0, 0])
            T.copy(B[b, 0, 0], R)
            T.copy(R, A[b, 0, 0])

    return kernel.compile().lowered.final.launches[0].shared_bytes


def test_a_pass_does_what_its_annotated_option_says() -> None:
    assert two_tiles(False) == 2 * two_tiles(True)


@dataclass
class Recorder:
    """A driver that keeps the shapes of launches."""

    shapes: list[Shape] = field(default_factory=list)

    def load(self, cubin: bytes, device: int) -> Any:
        return None

    def function(self, module: Any, name: str) -> Any:
        return name

    def allow_shared(self, function: Any, size: int) -> None: ...

    def launch(self, function: Any, shape: Shape, stream: int, packed: Sequence[Slot]) -> None:
        self.shapes.append(shape)


def test_the_window_of_the_cache_is_that_of_the_tensor() -> None:
    lowered = made(lambda A, B, C: T.annotate_l2_hit_ratio({B: 0.25})).compile().lowered
    bound = bind(lowered.signature, (X, X, X.copy()), {})
    on_gpu = replace(bound, device="cuda:0", tensors={k: _moved(t) for k, t in bound.tensors.items()})
    recorder = Recorder()
    Program(lowered.signature, b"").launch(recorder, on_gpu, 0)  # type: ignore[arg-type]
    assert [s.window for s in recorder.shapes] == [Window(bound.tensors["B"].pointer, 800, 0.25)]


def _moved(t: Tensor) -> Tensor:
    return replace(t, device="cuda:0")


def test_the_text_form() -> None:
    def annotate(A: Any, B: Any, C: Any) -> None:
        T.annotate_l2_hit_ratio({A: 1e-05})
        T.annotate_restrict_buffers(A, C)
        T.annotate_compile_flags(["--use_fast_math"])

    for stage in made(annotate).compile().lowered.stages:
        shown = text(stage.kernel)
        assert '  flags "--use_fast_math"\n  overlapping A, C\n' in shown and "    persist A = 1e-05\n" in shown
        assert same(parse(shown), stage.kernel)


@pytest.mark.parametrize("wrong", ["other", "twice", "none", "large"])
def test_rules_of_the_ir(wrong: str) -> None:
    kernel = made(lambda A, B, C: T.annotate_l2_hit_ratio({A: 0.5})).compile().lowered.final
    (launch,), (kept,) = kernel.launches, kernel.launches[0].persisting
    stranger = replace(kept.buffer, name="D")
    found = {
        "other": (Persisting(stranger, 0.5),), "twice": (kept, kept), "none": (Persisting(kept.buffer, 0.0),),
        "large": (Persisting(kept.buffer, 1.5),),
    }[wrong]  # fmt: skip
    verify(kernel)
    with pytest.raises(VerifyError, match="L2 cache"):
        verify(replace(kernel, launches=(replace(launch, persisting=found),)))
    with pytest.raises(VerifyError, match="overlap"):
        verify(replace(kernel, overlapping=(stranger,)))


@pytest.mark.parametrize(
    ("annotate", "code"),
    [
        (lambda A, B, C: T.annotate_l2_hit_ratio({A: 0}), "TD0226"),
        (lambda A, B, C: T.annotate_l2_hit_ratio({A: 1.5}), "TD0226"),
        (lambda A, B, C: T.annotate_l2_hit_ratio({A: 0.5, B: 0.5}), "TD0226"),
        (lambda A, B, C: T.annotate_l2_hit_ratio(A), "TD0226"),
        (lambda A, B, C: T.annotate_l2_hit_ratio({A[0]: 0.5}), "TD0235"),
        (lambda A, B, C: T.annotate_l2_hit_ratio({T.alloc_shared((8,), "int32"): 0.5}), "TD0226"),
        (lambda A, B, C: T.annotate_restrict_buffers(A, 3), "TD0235"),
        (lambda A, B, C: T.annotate_compile_flags(["fast"]), "TD0226"),
        (lambda A, B, C: T.annotate_compile_flags(3), "TD0226"),
        (lambda A, B, C: T.annotate_pass_configs({"unroll": 3}), "TD0226"),
    ],
)
def test_wrong_annotations(annotate: Any, code: str) -> None:
    with pytest.raises(TileError) as caught:
        made(annotate).compile()
    assert caught.value.code == code
