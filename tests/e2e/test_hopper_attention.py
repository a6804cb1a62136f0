"""What the machine code of attention for sm_90a is like, at sizes that are used: registers, spills, what overlaps."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from cases import LATENT, load

from tiledsl.decorator import TileKernel
from tiledsl.passes.warp_specialise import warp_plans
from tiledsl.report.sass_code import find_nvdisasm
from tiledsl.report.sass_stats import analyze
from tiledsl.target import target_named

forward, backward, mla = load("attention_hopper"), load("attention_backward"), load(LATENT)


@dataclass(frozen=True)
class Expected:
    """Of the launch number `launch`: at most `issued` instructions a cycle of the tensor core, at least `overlap`.

    `turns`: whether warpgroups take turns at the tensor core.
    """

    kernel: TileKernel
    issued: float
    overlap: float
    launch: int = 0
    turns: bool = True


# Of causal loops those for blocks without masks; heads of 64 are bound by the exponentials.
PROGRAMS = {
    "d64": Expected(forward.flash_attention(1, 16, 4096, 4096, 64), 0.95, 0.7),
    "d128": Expected(forward.flash_attention(1, 16, 4096, 4096, 128), 0.55, 0.6),
    "d128, groups": Expected(forward.flash_attention(1, 16, 4096, 4096, 128, kv_heads=4), 0.55, 0.6),
    "d128, causal": Expected(forward.flash_attention(1, 16, 4096, 4096, 128, True), 0.55, 0.6),
    "d64, 192 rows": Expected(forward.flash_attention(1, 16, 4608, 4096, 64, block_M=192, threads=384), 0.95, 0.7),
    "192 rows": Expected(
        forward.flash_attention(1, 16, 4608, 4096, 128, False, None, None, 192, 64, threads=384), 0.7, 0.5
    ),
    "d256": Expected(forward.flash_attention(1, 16, 4096, 4096, 256), 0.5, 0.4),
    "packed": Expected(forward.flash_attention_packed(4, 16, 4096, 128), 0.55, 0.6),
    "lists of blocks": Expected(forward.block_sparse_attention(1, 16, 4096, 128, True, block=128), 0.7, 0.6),
    "backward, d64": Expected(backward.flash_attention_backward(1, 16, 2048, 64), 0.7, 0.75, launch=1, turns=False),
    "backward, d128": Expected(backward.flash_attention_backward(1, 16, 2048, 128), 0.4, 0.7, launch=1, turns=False),
    "latent": Expected(mla.mla_decode(1, 128, 8192, splits=4), 0.55, 0.3, turns=False),
}


@pytest.mark.skipif(find_nvdisasm() is None, reason="nvdisasm is not installed")
@pytest.mark.parametrize("expected", PROGRAMS.values(), ids=PROGRAMS)
def test_machine_code(expected: Expected) -> None:
    lowered = expected.kernel.compile(target="sm_90a").lowered
    plan = warp_plans(lowered.after("expand-lets"), target_named("sm_90a"))[expected.launch]
    assert not plan.refused and not plan.left
    assert ("tds::barrier_sync(" in lowered.source.text) == expected.turns
    compiled = lowered.compiled
    assert not compiled.remarks
    assert all(r.spill_store_bytes == r.spill_load_bytes == 0 for r in compiled.resources)
    (main,) = (s for s in analyze(compiled.cubin).values() if s.main_loop is not None and s.main_loop.tensor)
    assert main.main_loop is not None and main.main_loop.issue_per_tensor_cycle <= expected.issued
    assert main.overlap is not None and main.overlap.fraction >= expected.overlap
