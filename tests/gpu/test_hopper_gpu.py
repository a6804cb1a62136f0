"""What only the real driver can refuse: tensor maps, launches with them, roles that pass registers to each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tiledsl import backends
from tiledsl.ir.parser import parse
from tiledsl.testing.thread_stage import lowered

KERNELS = Path(__file__).parents[1] / "unit" / "codegen" / "kernels"


@pytest.mark.gpu
def test_a_warp_specialised_gemm_with_tensor_maps() -> None:
    from tiledsl.runtime.driver import find_driver

    driver = find_driver()
    assert driver is not None
    if driver.architecture(0) != "sm_90a":
        pytest.skip("the GPU is not one of sm_90")
    made = lowered(parse((KERNELS / "gemm_sm90a.tir").read_text()))
    rng = np.random.default_rng(0)
    for _ in range(3):  # other arrays, other maps
        a, b = (rng.integers(-2, 3, shape).astype(np.float16) for shape in ((256, 320), (320, 256)))
        c = np.full((256, 256), np.nan, np.float16)
        backends.run(made, (a, b, c), {}, backend="cuda")
        np.testing.assert_array_equal(c, (a.astype(np.float32) @ b.astype(np.float32)).astype(np.float16))


@pytest.mark.gpu
def test_the_driver_takes_every_map_that_the_rules_allow() -> None:
    from tiledsl.runtime.driver import find_driver
    from tiledsl.tensor_map import tensor_map

    driver = find_driver()
    assert driver is not None
    if driver.architecture(0) != "sm_90a":
        pytest.skip("the GPU is not one of sm_90")
    memory = driver.allocate(1 << 20, 0)
    try:
        for dtype, size in (("int8", 1), ("float16", 2), ("bfloat16", 2), ("float32", 4), ("float64", 8)):
            for swizzle in (0, 32, 64, 128):
                inner = (swizzle or 64) // size
                for shape in ((256,), (9, 256), (3, 5, 256), (2, 3, 4, 256), (2, 2, 2, 2, 256)):
                    m = tensor_map("A", dtype, shape, (*(min(2, n) for n in shape[:-1]), inner), swizzle=swizzle)
                    assert len(driver.encode(m, memory)) == 128
        one_row = tensor_map("A", "float16", (1, 20), (1, 8), strides=(48, 2))
        assert driver.encode(one_row, memory) != driver.encode(one_row, memory + 16)
    finally:
        driver.free(memory, 0)
