"""What a report says of memory accesses: counted from addresses, grouped by line, as text and as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.report.shared_accesses import global_accesses, shared_accesses

N = 128


@tiledsl.kernel
def columns(A: T.Tensor((N, N), T.float32), B: T.Tensor((N, N), T.float32)):
    with T.Kernel(1, threads=128):
        tile = T.alloc_shared((N, 32), T.float32)
        T.annotate_layout({tile: T.Layout((N, 32), lambda i, j: i * 32 + j)})
        t = T.get_thread_binding()
        for k in T.serial(4):
            tile[t, k] = A[t, k]
        T.sync_threads()
        for k in T.serial(4):
            B[k, t] = tile[t, k]


def entry(kernel: Any) -> Any:
    return kernel.compile(target="sm_80").lowered.final.launches[0]


def test_a_column_costs_a_sector_an_element_and_a_row_is_ideal() -> None:
    found = {(a.what, a.buffer): (a.sectors, a.ideal) for a in global_accesses(entry(columns))}
    assert found[("load", "A")] == (128, 16), "one sector an element: rows are far apart"
    assert found[("store", "B")] == (16, 16), "128 floats are 16 sectors"
    conflicts = {a.what: (a.wavefronts, a.ideal) for a in shared_accesses(entry(columns))}
    assert conflicts == {"store": (128, 4), "load": (128, 4)}, "a column of 32 words is one bank"


def test_strided_elements_waste_sectors() -> None:
    @tiledsl.kernel
    def every_fourth(A: T.Tensor((4 * N,), T.float32), B: T.Tensor((N,), T.float32)):
        with T.Kernel(1, threads=N):
            t = T.get_thread_binding()
            B[t] = A[t * 4]

    found = {a.buffer: (a.sectors, a.ideal) for a in global_accesses(entry(every_fourth))}
    assert found == {"A": (64, 16), "B": (16, 16)}


def test_text_groups_equal_accesses_and_json_has_them_all() -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    report = columns.compile(target="sm_80").report()
    lines = str(report).splitlines()
    header = next(line for line in lines if "shared memory  " in line)
    assert header.split()[-4:] == ["line", "times", "wavefronts", "ideal"]
    row = next(line for line in lines if line.split()[:2] == ["store", "tile"])
    assert row.split()[2].startswith("test_report.py:") and row.endswith("32.0 times the ideal")
    (data,) = json.loads(report.to_json())["entries"]
    assert len(data["accesses"]) == len(report.entries[0].accesses)
    assert {a["buffer"] for a in data["global_accesses"]} == {"A", "B"}
