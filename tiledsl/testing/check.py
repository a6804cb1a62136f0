"""`check`: a kernel against a NumPy reference, every way that this machine can run it. For users' own tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiledsl.checking import check as check_schedules
from tiledsl.checking.compare import tolerance_of
from tiledsl.compile import Lowered
from tiledsl.cpu.toolchain import find_compiler
from tiledsl.decorator import CompiledKernel, TileKernel
from tiledsl.errors import error
from tiledsl.runtime.arguments import as_tensor
from tiledsl.runtime.driver import find_driver
from tiledsl.testing.case import Array, Case, Draw, Inputs, compare, run_lowered
from tiledsl.testing.given import Reference, drawn, expected_of, named_inputs

MakeInputs = Callable[..., Any]  # of a Draw, or of nothing


def check(
    kernel: TileKernel | CompiledKernel | Case,
    reference: Reference | None = None,
    inputs: Mapping[str, Any] | Sequence[Any] | MakeInputs | None = None,
    *,
    backends: Sequence[str] | None = None,
    schedules: int = 3,
    seed: int = 0,
    target: str | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    **static: object,
) -> None:
    """Raises Mismatch for the first result that is not the reference's, TileError for the first finding of a check.

        def test_scale():
            check(scale, lambda A: 2 * A, {"A": np.arange(64, dtype=np.float32)})

    kernel: a decorated function, specialised by `static`; a compiled kernel; or a `Case`, which brings the rest.
    reference: called with the inputs by name, or by position where its parameters are called otherwise; it gives an
    array, a tuple in the order of the results, or a dict by name. A kernel without results is compared in the tensors
    that it writes. None: the executions are compared with each other.
    inputs: every argument but the results, by name or position; or a function that makes them from a `Draw`, which is
    called for small integers and for random numbers; None: small integers.
    backends: default: tile stage and thread stage in NumPy, the CPU device, and a GPU if there is one. With the CPU
    device (without a compiler: the thread stage) the kernel is also checked under `schedules` schedules.
    rtol, atol: default: by the dtype of each result, see `tiledsl.checking.compare.tolerance_of`.
    """
    names = tuple(backends or default_backends())
    target = target or (_gpu() if "cuda" in names else None)
    if isinstance(kernel, Case):
        subject = _of_case(kernel, target or "sm_80")
    else:
        subject = _of_kernel(kernel, reference, inputs, (rtol, atol), target, static)
    for run in subject.runs(seed):
        # First, because a race says more than the wrong numbers that come of it.
        if run.checked and schedules and {"cpu", "simt"} & set(names):
            others = [] if run.expected else [b for b in ("tile", "simt") if b in names]
            found = check_schedules(subject.lowered, (), run.inputs, schedules=schedules, seed=seed, compare=others)
            found.raise_if_bad()
        for name in names:
            actual = run_lowered(subject.lowered, run.inputs, name)
            for tensor, value in run.expected.items():
                usual = tolerance_of(value.dtype)
                rtol, atol = (usual if t is None else t for t in run.tolerance)
                compare(f"{subject.name}/{name}/{tensor}", actual[tensor], value, rtol, atol, run.whole)


def default_backends() -> tuple[str, ...]:
    """What this machine can run, by name."""
    found = ["tile", "simt"]
    found += ["cpu"] if find_compiler() else []
    return (*found, "cuda") if find_driver() else tuple(found)


def _gpu() -> str | None:
    driver = find_driver()
    return driver.architecture(0) if driver else None


@dataclass(frozen=True)
class _Run:
    """Inputs, what must come of them, the tolerance (None: that of the dtype), whether schedules are checked too, the
    tolerance of results as a whole (None: any)."""

    inputs: Inputs
    expected: Mapping[str, Array]
    tolerance: tuple[float | None, float | None]
    checked: bool
    whole: float | None = None


@dataclass(frozen=True)
class _Subject:
    name: str
    lowered: Lowered
    runs: Callable[[int], Iterator[_Run]]


def _of_case(case: Case, target: str) -> _Subject:
    def runs(seed: int) -> Iterator[_Run]:
        for exact in (True, False):
            inputs = case.inputs(Draw(seed, exact))
            tolerance = (0.0, 0.0) if exact and case.exact else (case.rtol, case.atol)
            yield _Run(inputs, case.reference(**inputs), tolerance, exact, case.whole)

    return _Subject(case.name, case.compiled(target).lowered, runs)


def _of_kernel(
    kernel: TileKernel | CompiledKernel,
    reference: Reference | None,
    inputs: Any,
    tolerance: tuple[float | None, float | None],
    target: str | None,
    static: Mapping[str, object],
) -> _Subject:
    if isinstance(kernel, TileKernel):
        compiled = _compiled(kernel, inputs, target, static)
    elif isinstance(kernel, CompiledKernel):
        compiled = kernel
    else:
        raise error("TD0634", what="kernel", expected="a kernel or a Case", given=type(kernel).__name__)
    lowered = compiled.lowered

    def runs(seed: int) -> Iterator[_Run]:
        for number, exact in enumerate((True, False) if callable(inputs) else (True,)):
            given = named_inputs(lowered, drawn(inputs, seed, exact), seed)
            expected = {} if reference is None else expected_of(lowered, reference, given)
            yield _Run(given, expected, tolerance, checked=number == 0)

    return _Subject(compiled.name, lowered, runs)


def _compiled(kernel: TileKernel, inputs: Any, target: str | None, static: Mapping[str, object]) -> CompiledKernel:
    """Specialised by `static`, and in constant style by the shapes of the inputs."""
    tensors: dict[str, Any] = {}
    if kernel.signature.constant_style and inputs is not None:
        given = drawn(inputs, 0, True)
        named = given if isinstance(given, Mapping) else dict(zip(_run_time(kernel), given or ()))
        tensors = {n: v for n, v in named.items() if as_tensor(v) is not None}
    return kernel.compile(tensors, target=target, **static)


def _run_time(kernel: TileKernel) -> list[str]:
    return [p.name for p in kernel.signature.parameters if p.kind.value != "static"]
