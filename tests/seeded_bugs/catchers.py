"""What catches a bug: a law on a few examples, or the verifiers of plans on example kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings

from tiledsl.cpu import interp
from tiledsl.ir.dtypes import FLOAT32
from tiledsl.ir.nodes import (
    Alloc,
    AsyncCommit,
    AsyncWait,
    Buffer,
    Const,
    Expr,
    For,
    Kernel,
    Launch,
    Load,
    Space,
    Stmt,
    Store,
    Var,
)
from tiledsl.ir.parser import parse
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.insert_fences import insert_fences
from tiledsl.passes.pipeline import PASSES, pipeline
from tiledsl.passes.plan_shared_memory import plan_shared_memory
from tiledsl.target import Target, target_named
from tiledsl.testing import Case
from tiledsl.testing.case import Draw
from tiledsl.testing.laws import LAWS

SM80, SM90 = target_named("sm_80"), target_named("sm_90a")
EXAMPLES = Path(__file__).parents[2] / "examples"


def caught(name: str, examples: int) -> str:
    """What `name` says of the compiler as it is now: empty if it finds nothing wrong."""
    try:
        if name in VERIFIERS:
            VERIFIERS[name]()
        else:
            _try(name, examples)
    except Exception as found:
        return f"{type(found).__name__}: {str(found).strip().splitlines()[0] if str(found).strip() else ''}"
    return ""


ROUND = 25  # examples of one search: hypothesis varies what it has drawn before, so many short searches see more


def _try(name: str, examples: int) -> None:
    """Draws examples of the law, the same ones each time, without making a failure smaller."""
    law = LAWS[name]
    for number in range(-(-examples // ROUND)):
        body = given(law.strategy)(lambda example: law.check(**example))
        body = settings(
            max_examples=min(ROUND, examples),
            database=None,
            deadline=None,
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,),
        )(body)
        seed(number)(body)()


@cache
def example(file: str, name: str) -> Case:
    spec = spec_from_file_location(f"seeded_{file}", EXAMPLES / f"{file}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Case = next(c for c in module.cases() if c.name == name)
    return found


@cache
def traced(file: str, name: str, target: str = "sm_80") -> Kernel:
    """The tile stage of an example, before any pass."""
    return example(file, name).compiled(target).lowered.after("trace")


def _through(last: str, *cases: tuple[str, str], target: Target = SM80) -> Callable[[], Any]:
    """The passes up to `last` on examples, each followed by its verifier."""

    def check() -> None:
        names = list(PASSES)
        for file, name in cases:
            run_pipeline(traced(file, name, target.name), pipeline(target)[: names.index(last) + 1], check=True)

    return check


def shared_loops() -> None:
    """Buffers used in turn in a loop, which carries one of them along; a copy that nobody waits for; odd sizes."""
    T = Var("tx")
    a, b, small = (Buffer(n, (size,), FLOAT32, Space.SHARED) for n, size in (("a", 4096), ("b", 4096), ("c", 5)))
    flying, source = Buffer("d", (4096,), FLOAT32, Space.SHARED), Buffer("A", (4096,), FLOAT32)
    r = Buffer("r", (1,), FLOAT32, Space.LOCAL)
    zero, one = (Const(0),), Const(1.0, FLOAT32)

    def read(x: Buffer, at: Expr = T) -> Stmt:
        return Store(r, zero, Load(x, (at,)))

    carried = For(Var("k"), Const(3), (read(a), Store(b, (T,), one), read(b)))
    issue = Store(flying, (T,), Load(source, (T,)), asynchronous=True)
    late = (issue, AsyncCommit(), Store(b, (T,), one), read(b), AsyncWait(0))
    odd = (Store(small, zero, one), Store(b, (T,), one), read(b), read(small, Const(0)))
    for used, body in (((a, b), (Store(a, (T,), one), carried)), ((b, flying), late), ((small, b), odd)):
        allocs = [Alloc(x) for x in (*used, r)]
        launch = Launch("k", (Const(1),), (Var("bx"),), (32,), T, (*allocs, *body))
        run_pipeline(Kernel("k", (source,), (launch,)), [plan_shared_memory.bind(SM80)], check=True)


def fenced_tensors() -> None:
    """Threads write a tile and a tensor, and the copy engine moves from one to the other."""
    text = """kernel k(C: global float16[512, 64]) {
      launch k(b in 1) threads(t in 256) {
        alloc S: shared float16[8192]
        alloc x: local float16[8]
        S[t] = x[0]
        C[t, 0] = x[1]
        barrier
        if t == 0 { bulk_move(lanes=8) S[0] -> C[0, 0] }
        async_commit(queue=store)
        async_wait(pending=0, queue=store)
      }
    }"""
    run_pipeline(parse(text), [insert_fences], check=True)


def _executed(file: str, name: str) -> Callable[[], None]:
    """The last stage of a kernel with roles, whose blocks have several tiles, in the interpreter with all checks."""

    def run() -> None:
        case = example(file, name)
        kernel = run_pipeline(traced(file, name, SM90.name), pipeline(SM90))
        given = dict(case.inputs(Draw(1)))
        expected = case.reference(**given)
        arrays = given | {n: np.zeros_like(value) for n, value in expected.items()}
        interp.run(kernel, arrays, check=True, mode="late")
        for n, value in expected.items():
            np.testing.assert_array_equal(arrays[n], value)

    return run


VERIFIERS: Mapping[str, Callable[[], Any]] = {
    "verify_pipeline": _through("software-pipeline", ("gemm", "gemm-3-stages"), ("attention", "attention-d64-128x128")),
    "verify_layouts": _through("infer-layouts", ("gemm", "gemm-3-stages"), ("normalisation", "softmax-13x100")),
    "verify_bounds": _through("guard-bounds", ("gemm", "gemm-ragged"), ("elementwise", "add-33x71")),
    "verify_vectors": _through("vectorise", ("elementwise", "add-33x71"), ("elementwise", "add-64x128")),
    "verify_shared": _through("plan-shared-memory", ("gemm", "gemm-3-stages"), ("attention", "attention-d128-128x128")),
    "verify_shared_by_hand": shared_loops,
    "verify_barriers": _through("insert-barriers", ("gemm", "gemm-3-stages"), ("reduction", "reduce-sum-dim0")),
    "executed_roles": _executed("gemm_hopper", "gemm-hopper-persistent-384x128x192"),
    "executed_ring_of_three": _executed("gemm_cluster", "gemm-cluster-persistent-200x200x264"),
    "verify_fences_of_tensors": fenced_tensors,
    "verify_fences": _through(
        "insert-fences", ("gemm", "gemm-odd"), ("gemm_hopper", "gemm-hopper-persistent-384x128x192"), target=SM90
    ),
}
