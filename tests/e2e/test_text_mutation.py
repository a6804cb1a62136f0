"""The checkers are checked on the emitted text: one synchronisation, guard or swizzle less, and a kernel is reported.

Every fault of `switches.py` in every example, on the checked CPU device and against the reference. `pytest -rP` prints
the score of each checker, and the equivalent faults with the reason (`equivalences.py`).
"""

from __future__ import annotations

import ctypes
from dataclasses import replace

import pytest
from cases import variant_id
from equivalences import reason
from switches import with_switches
from verdicts import Score, Variant, every_variant, on_device, subjects_of

from tiledsl.cpu import device

pytestmark = pytest.mark.cxx


@every_variant()
def test_every_fault_in_the_text_is_caught(variant: Variant) -> None:
    subjects = subjects_of(variant)
    plain = subjects[0].lowered.source
    text, faults = with_switches(plain.text)
    source = replace(plain, text=text)
    module = device.compile_source(text, [e.name for e in source.entries], checked=True)
    switch = ctypes.c_int.in_dll(module.library, "tds_fault")

    def verdict(fault: int, hopeless: bool) -> str:
        switch.value = fault
        return on_device(subjects, source, hopeless)

    assert (plainly := verdict(0, True)) == "", f"without any fault: {plainly}"
    score = Score(variant_id(variant))
    for fault in faults:
        hopeless = reason(score.name, fault.kind, str(fault)) is not None
        score.add(fault.kind, str(fault), fault.line, verdict(fault.number, hopeless))
    score.finish()


def test_switches_find_every_fault() -> None:
    text = """\
#line 7
  tds::cp_async_16(a + (b ^ c) * 16, p + 1, f(i, j) < n);
  tds::cp_async_wait<1>();
  if (x[1] < 3) {
    tds::barrier();
    y = (a < b) ? 1 : 0;
    tds::cp_async_16(a, p, true);
  }
"""
    switched, faults = with_switches(text)
    assert [(f.kind, f.line) for f in faults] == [
        ("swizzle", 7),
        ("predicate", 7),
        ("cp_async_wait", 8),
        ("cp_async_wait", 8),
        ("guard", 9),
        ("barrier", 10),
        ("selection", 11),
    ]
    assert "tds::cp_async_16(a + (b ^ KEEP(1) & c) * 16, p + 1, FAULT(2) || (f(i, j) < n));" in switched
    assert "if (FAULT(4)) tds::cp_async_wait<2>(); else if (!FAULT(3)) tds::cp_async_wait<1>();" in switched
    assert "if (FAULT(5) || (x[1] < 3)) {" in switched
    assert "if (!FAULT(6)) tds::barrier();" in switched
    assert "y = (FAULT(7) || (a < b)) ? 1 : 0;" in switched


def test_switches_for_barriers_in_shared_memory() -> None:
    text = """\
#line 7
  tds::i32 slot = 0;
  tds::mbarrier_init(full + 8u, 2);
  tds::mbarrier_wait(full + slot * 8, phase & 1);
  tds::mbarrier_arrive_expect_tx(full, 512);
  tds::mbarrier_arrive(empty);
  tds::barrier_sync(turn + 3, 256);
  tds::barrier_arrive(3, 256);
  tds::bulk_wait<0>();
  tds::setmaxnreg_inc<232>();
  tds::wgmma_hold<32>(tds::view<float>(c));
  slot = next;
"""
    switched, faults = with_switches(text)
    assert [f.kind for f in faults] == [
        *3 * ["mbarrier_init"],
        *2 * ["mbarrier_wait"],
        *3 * ["mbarrier_arrive_expect_tx"],
        *2 * ["mbarrier_arrive"],
        *4 * ["barrier_sync"],
        *4 * ["barrier_arrive"],
        *3 * ["bulk_wait"],
        *2 * ["setmaxnreg_inc"],
        "counter",
    ]
    assert "if (!FAULT(1)) tds::mbarrier_init(full + 8u, ((2) + FAULT(2)) - FAULT(3));" in switched
    assert "if (!FAULT(4)) tds::mbarrier_wait(full + slot * 8, (phase & 1) ^ FAULT(5));" in switched
    assert "if (!FAULT(6)) tds::mbarrier_arrive_expect_tx(full, ((512) + 16 * FAULT(7)) - 16 * FAULT(8));" in switched
    assert (
        "if (FAULT(10)) { tds::mbarrier_arrive(empty); tds::mbarrier_arrive(empty); } else if (!FAULT(9)) " in switched
    )
    met = "if (!FAULT(11)) tds::barrier_sync((turn + 3) + FAULT(14), ((256) + 128 * FAULT(12)) - 128 * FAULT(13));"
    assert met in switched
    assert (
        "if (!FAULT(15)) tds::barrier_arrive((3) + FAULT(18), ((256) + 128 * FAULT(16)) - 128 * FAULT(17));" in switched
    )
    assert "if (FAULT(20)) tds::bulk_wait<1>(); else if (FAULT(21)) tds::bulk_wait_read<0>(); else if (" in switched
    assert "if (FAULT(23)) tds::setmaxnreg_inc<240>(); else if (!FAULT(22)) tds::setmaxnreg_inc<232>();" in switched
    assert "if (!FAULT(24)) slot = next;" in switched


def test_faults_are_named_by_launch_role_and_loop() -> None:
    text = """\
TDS_KERNEL(256, 1) k() {
  tds::barrier();
  if (warp < 4) {
    for (int k = 0; k < n; ++k) {
      tds::mbarrier_wait(empty + slot * 8, 1);
    }
  } else if (warp >= 4) {
    TDS_UNROLL
    for (int r = 0; r < 4; ++r) {
      tds::wgmma_fence();
    }
    TDS_UNROLL_BY(1)
    for (int k_1 = 0; k_1 < n; ++k_1) {
#line 9
      if (t == 0) {
        tds::mbarrier_arrive(empty);
      }
    }
    tds::wgmma_commit();
  }
}
TDS_KERNEL(256, 1) l() {
  while (x) {
    tds::barrier();
  }
}
"""
    places = {f"{f.what}, {f.place}" for f in with_switches(text)[1] if "removed" in f.what or f.kind == "guard"}
    assert places == {
        "barrier removed, at the start",
        "guard 'if (warp < 4)' dropped, at the start",
        "mbarrier_wait empty removed, role 1 in loop 1",
        "guard 'if (warp >= 4)' dropped, at the start",
        "wgmma_fence removed, role 2",
        "guard 'if (t == 0)' of mbarrier_arrive empty dropped, role 2 in loop 1",
        "mbarrier_arrive empty removed, role 2 in loop 1",
        "wgmma_commit removed, role 2 after loop 1",
        "barrier removed, launch 2 in loop 1",
    }


def test_equivalences_must_not_cover_what_is_caught() -> None:
    score = Score("gemm-3-stages-sm_90a")
    score.add("guard", "guard 'if (warp >= 4)' dropped, at the start #1", 1, "")
    score.finish()
    score.add("guard", "guard 'if (warp >= 4)' dropped, at the start #1", 1, "TD0830")
    with pytest.raises(AssertionError, match="no equivalence may cover"):
        score.finish()
    score.add("guard", "guard 'if (x)' dropped, at the start #1", 1, "")
    with pytest.raises(AssertionError, match=r"if \(x\)"):
        score.finish()
