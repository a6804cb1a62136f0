"""NVRTC without a driver: cubin, resources from its log, errors at the user's line, and the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiledsl.codegen.device_api import device_functions, functions_in
from tiledsl.errors import TileError
from tiledsl.runtime import nvrtc

pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")

KERNEL = """
extern "C" __global__ void __launch_bounds__(64) twice(float* x) {
#line 12 "user.py"
  x[threadIdx.x] = 2.0f * x[threadIdx.x];
}
"""


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_CACHE_DIR", str(tmp_path))


@pytest.mark.parametrize("arch", ["sm_80", "sm_89", "sm_90a"])
def test_compiles_without_a_gpu(arch: str) -> None:
    compiled = nvrtc.compile_cuda(KERNEL, arch)
    assert compiled.cubin[:4] == b"\x7fELF"
    assert ".target " + arch in compiled.ptx
    (resources,) = compiled.resources
    assert resources.name == "twice"
    assert 0 < resources.registers <= 255
    assert resources.spill_store_bytes == resources.spill_load_bytes == 0


def test_the_second_time_comes_from_the_cache() -> None:
    first = nvrtc.compile_cuda(KERNEL, "sm_80")
    second = nvrtc.compile_cuda(KERNEL, "sm_80")
    assert first.seconds > 0 and second.seconds == 0
    assert (first.cubin, first.ptx, first.resources, first.log) == (
        second.cubin,
        second.ptx,
        second.resources,
        second.log,
    )


def test_an_error_names_the_users_line() -> None:
    with pytest.raises(TileError, match="TD0903") as caught:
        nvrtc.compile_cuda(KERNEL.replace("2.0f *", "undeclared *"), "sm_80")
    assert (caught.value.span.file, caught.value.span.line) == ("user.py", 12)


def test_resources_of_a_log_with_spills() -> None:
    log = """ptxas info    : Compiling entry function 'k1' for 'sm_80'
ptxas info    : Function properties for k1
    32 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers
ptxas info    : Compiling entry function 'k2' for 'sm_80'
ptxas info    : Function properties for k2
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 20 registers"""
    assert nvrtc.parse_resources(log) == (
        nvrtc.Resources("k1", 255, 32, 12, 16),
        nvrtc.Resources("k2", 20, 0, 0, 0),
    )


def test_remarks_of_a_log() -> None:
    log = """ptxas info    : Compiling entry function 'k' for 'sm_90a'
ptxas info    : Used 168 registers, used 16 barriers
ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to x in function 'k'
ptxas warning : (C7514) Potential Performance Loss: something else
ptxas info    : (C7508) Potential Performance Loss: 'setmaxnreg' ignored; unable to determine register count."""
    made = nvrtc.Compiled(b"", "", (), log, 0.0)
    assert [r.partition(" ")[0] for r in made.remarks] == ["(C7510)", "(C7514)", "(C7508)"]
    assert made.remarks[2].endswith("register count.")


PRODUCT = """
TDS_KERNEL(128, 1) product(float* out, tds::u64 a, tds::u64 b) {
  TDS_LOCAL(float, d, 4);
  for (int i = 0; i < 4; ++i) d[i] = 0.0f;
  tds::wgmma_hold<4>(d);
  tds::wgmma_fence();
  tds::wgmma_m64n8k16_f32_f16_ss(d, a, b, true);
  tds::wgmma_commit();
  tds::wgmma_wait<0>();
  tds::wgmma_hold<4>(d);
  for (int i = 0; i < 4; ++i) out[tds::thread_index() * 4 + i] = d[i];
}
"""


def test_what_ptxas_says_of_products_is_kept() -> None:
    """Registers used while the tensor core writes them: ptxas adds a wait, and says so, from the cache too."""
    text = device_functions(functions_in(PRODUCT)) + PRODUCT
    assert nvrtc.compile_cuda(text, "sm_90a").remarks == ()
    early = text.replace("  tds::wgmma_commit();\n  tds::wgmma_wait<0>();\n  tds::wgmma_hold<4>(d);\n", "")
    assert early != text
    for _ in range(2):
        (remark,) = nvrtc.compile_cuda(early, "sm_90a").remarks
        assert remark.startswith("(C75") and "'product'" in remark
