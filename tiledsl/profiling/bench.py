"""What is measured: any function, or a kernel on the backend that a call would take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tiledsl.backends import Backend, choose, describe, require_text, run_on_cpu
from tiledsl.checking.inputs import inputs_of, on_host
from tiledsl.compile import Lowered
from tiledsl.cpu.arrays import copies_of
from tiledsl.errors import TileError, error
from tiledsl.profiling.measure import HostWatch, Plan, Samples, measured
from tiledsl.profiling.result import Profile
from tiledsl.report import report
from tiledsl.runtime.arguments import Bound, as_tensor, bind
from tiledsl.runtime.driver import find_driver
from tiledsl.runtime.program import stream_handle
from tiledsl.runtime.timing import CudaStopwatch, Hardware, Stopwatch, hardware, resident
from tiledsl.target import GPUS, Target

_EVENTS = "GPU time between two events of the stream"
_GRAPH_EVENTS = "GPU time between two events in a CUDA graph"
_HOST = "time of the host"
_SIMULATED = "how long the host takes to simulate the kernel, which says nothing about a GPU"


def do_bench(
    fn: Callable[..., object],
    *,
    name: str | None = None,
    device: str | None = None,
    stream: Any = None,
    flops: float | None = None,
    bytes: float | None = None,
    watch: Stopwatch | None = None,
    **plan: Any,
) -> Profile:
    """How long `fn()` takes: `do_bench(lambda: matmul(a, b)).ms` is the median in milliseconds.

        do_bench(lambda: torch.mm(a, b), rep=200, l2_flush=False).quantiles((0.2, 0.5, 0.8))

    device: "cuda" or "cpu"; default: the GPU if there is one. On a GPU it is the time between two events of `stream`
    (default: torch's current stream, else the default stream), which `fn` must use; on the CPU the time of the host.
    plan: warmup and rep in milliseconds, n_warmup and n_repeat, l2_flush, graph: see `tiledsl.profiling.Plan`. With
    `graph=True` the work is captured: `fn` is called with `stream=` and a stream of its own, which it must use.
    flops, bytes: what one call computes and moves, for the rates.
    Raises TileError TD0619 where there is no GPU for "cuda", TD0634 for a wrong option.
    """
    how = _plan({"graph": False, **plan})
    shown = name or getattr(fn, "__name__", "fn").replace("<lambda>", "fn")
    if watch is not None:
        return _profile(shown, "a stopwatch that was given", _EVENTS, measured(watch, fn, how), flops, bytes)
    if device not in (None, "cuda", "cpu"):
        raise error("TD0634", what="device", expected="'cuda' or 'cpu'", given=repr(device))
    driver = None if device == "cpu" else find_driver()
    if device == "cuda" and driver is None:
        raise error("TD0619")
    if driver is None:
        samples = measured(HostWatch(), fn, how)
        return replace(_profile(shown, "the CPU", _HOST, samples, flops, bytes), on_gpu=False)
    handle = None if how.graph else stream_handle(stream)
    with CudaStopwatch(driver.api, 0, handle) as clock:
        call = (lambda: fn(stream=clock.stream)) if how.graph else fn
        return _profile(shown, hardware(clock).name, _EVENTS, measured(clock, call, how), flops, bytes)


def profile(
    lowered: Lowered,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    plan: Plan | None = None,
    *,
    flops: float | None = None,
    bytes: float | None = None,
    stream: Any = None,
    backend: str | Backend | None = None,
) -> Profile:
    """How long a call takes with these arguments, which stay as they are; without tensors, with made ones.

    On a GPU everything is there before the first run, and nothing but launches is timed. On a CPU it is the host that
    is timed, as `Profile.timed` says. `flops` and `bytes` default to those of `report`.
    """
    given = dict(kwargs or {})
    if not any(as_tensor(v) is not None for v in (*args, *given.values())):
        args, given = (), dict(next(inputs_of(lowered, args, given, 0)).values)
    bound = bind(lowered.signature, args, given)
    chosen, how = choose(bound, backend), plan or Plan()
    if lowered.edited:
        require_text(chosen)
    if chosen is Backend.CUDA:
        made = _on_gpu(lowered, bound, how, stream)
    elif bound.device != "cpu":
        raise error("TD0618", name=chosen.value, device=bound.device)
    else:
        arguments = bind(lowered.signature, (), copies_of(on_host(lowered, args, given)))
        samples = measured(HostWatch(), lambda: run_on_cpu(lowered, arguments, chosen), how)
        made = replace(_profile(lowered.final.name, describe(chosen), _SIMULATED, samples), on_gpu=False)
    return _with_work(made, lowered, bound, flops, bytes)


def _plan(options: Mapping[str, Any]) -> Plan:
    """Raises TileError TD0634 for an option that there is not."""
    known = Plan.__dataclass_fields__
    if unknown := options.keys() - known.keys():
        raise error("TD0634", what="an option of a measurement", expected=", ".join(known), given=min(unknown))
    return Plan(**options)


def _profile(
    name: str, device: str, timed: str, samples: Samples, flops: float | None = None, bytes: float | None = None
) -> Profile:
    said = _GRAPH_EVENTS if samples.graph else timed
    found = (samples.milliseconds, samples.warmup, samples.graph, samples.flushed)
    return Profile(name, device, said, *found, flops, bytes, note=samples.note)


def _on_gpu(lowered: Lowered, bound: Bound, plan: Plan, stream: Any) -> Profile:
    driver = find_driver()
    assert driver is not None
    number = int(bound.device.partition(":")[2] or 0)
    handle = None if stream is None else stream_handle(stream)
    with (
        CudaStopwatch(driver.api, number, handle) as watch,
        resident(watch, lowered.signature, bound, number) as there,
    ):
        samples = measured(watch, lambda: lowered.program.launch(driver, there, watch.stream), plan)
        return _profile(lowered.final.name, hardware(watch, number).name, _EVENTS, samples)


def _with_work(made: Profile, lowered: Lowered, bound: Bound, flops: float | None, bytes: float | None) -> Profile:
    """With what the report knows of one call; where NVRTC is missing, with what was given."""
    try:
        said = report(lowered, numbers_of_call(lowered, bound), product(made.device, lowered.target))
    except TileError as problem:
        if problem.code != "TD0902":
            raise
        return replace(made, flops=flops, bytes=bytes)
    work = float(sum(e.work.operations for e in said.entries))
    moved = float(sum(e.traffic.dram for e in said.entries))
    return replace(
        made,
        flops=work if flops is None else flops,
        bytes=moved if bytes is None else bytes,
        roofline_ms=said.time * 1e3,
        roofline_gpu=said.gpu,
    )


def numbers_of_call(lowered: Lowered, bound: Bound) -> dict[str, int]:
    """The sizes and integer scalars of a call, as far as the IR still has them."""
    kernel = lowered.final
    known = {v.name for v in (*kernel.sizes, *kernel.params)}
    return {n: v for n, v in bound.numbers().items() if n in known}


def product(device: str, target: Target) -> str | None:
    """The row of the table of GPUs that the device's name contains, if there is one with that target."""
    return next((g.name for g in GPUS.values() if g.target == target.name and g.name in device.replace(" ", "")), None)


def hardware_at_hand() -> Hardware | None:
    """The first GPU of this machine, or None."""
    driver = find_driver()
    return None if driver is None else hardware(driver)
