"""Kernels of laws on the checked CPU device."""

from __future__ import annotations

from typing import Any

from tiledsl.backends import Backend, run_on_cpu
from tiledsl.compile import Lowered
from tiledsl.cpu.findings import Finding
from tiledsl.runtime.arguments import bind
from tiledsl.testing.strategies.warps import WarpKernel


def checked(program: WarpKernel, lowered: Lowered, mode: str, seed: int) -> dict[str, Any]:
    """The arguments after a run on the checked device, which must find nothing: blocks must not exchange anything."""
    findings: list[Finding] = []
    given = program.arguments()
    sizes = {v.name for v in program.kernel.sizes}
    bound = bind(lowered.signature, (), {n: v for n, v in given.items() if n not in sizes})
    run_on_cpu(lowered, bound, Backend.CPU, workers=1, check=True, findings=findings, mode=mode, seed=seed)
    assert not findings, "\n".join(str(f) for f in findings)
    return given
