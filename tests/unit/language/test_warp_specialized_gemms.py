"""The products with roles written by hand (examples/warp_specialize/): what they become, what that computes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tiledsl.cpu import tile_interp
from tiledsl.frontend.trace import trace_kernel
from tiledsl.ir.concurrent import Roles
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import same, statements
from tiledsl.passes.normalise import normalise


def loaded() -> ModuleType:
    path = Path(__file__).parents[3] / "examples" / "warp_specialize" / "example_warp_specialize_gemm.py"
    spec = importlib.util.spec_from_file_location("example_warp_specialize_gemm", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXAMPLE = loaded()


def gathered(variant: str, *shape: int) -> Kernel:
    traced = trace_kernel(EXAMPLE.gemm(*shape, variant, block=(64, 64, 32)).fn, {}, {})
    verify(traced)
    assert same(parse(text(traced)), traced)
    return normalise(traced)


@pytest.mark.parametrize("variant", EXAMPLE.VARIANTS)
def test_the_roles_are_one_statement(variant: str) -> None:
    kernel = gathered(variant, 128, 128, 128)
    found = [s for s in statements(kernel) if isinstance(s, Roles)]
    assert len(found) == 1 and [(r.first, r.threads) for r in found[0].roles] == [(0, 128), (128, 128)]
    assert kernel.launches[0].body[-1] is found[0]


@pytest.mark.parametrize("shape", [(64, 64, 32), (128, 64, 160), (100, 72, 80)])
@pytest.mark.parametrize("variant", EXAMPLE.VARIANTS)
def test_they_compute_the_product(variant: str, shape: tuple[int, int, int]) -> None:
    M, N, K = shape
    rng = np.random.default_rng(0)
    A, B = (rng.integers(-2, 3, s).astype(np.float16) for s in ((M, K), (K, N)))
    C = np.zeros((M, N), np.float16)
    tile_interp.run(gathered(variant, *shape), {"A": A, "B": B, "C": C})
    np.testing.assert_array_equal(C, EXAMPLE.reference(A, B)["C"])
