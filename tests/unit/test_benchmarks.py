"""The GPU script walks its whole control flow on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_gpu_script_dry(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    done = subprocess.run(
        ["bash", str(ROOT / "benchmarks" / "gpu.sh"), "--dry", "--out", str(out)],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(out.read_text())
    assert len(results["cases"]) == 2
    for case in results["cases"]:
        assert set(case["seconds"]) == {"tiledsl", "numpy", "tiledsl again"}
        assert all(t > 0 for t in case["seconds"].values())
    rows = json.loads((tmp_path / "results-rows.json").read_text())
    assert rows["milliseconds"]["example_gemm"] > 0 and not rows["failed"]


def test_rows_compile_to_a_table() -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import rows

    path = str(ROOT / "examples" / "gemm" / "example_gemm.py")
    assert rows.compile_one(path, "example_gemm", 0, "sm_80") > 0
    line = rows.table([(path, "example_gemm", 0, "sm_80")], [0.5], 1.0, 2)
    assert line.splitlines()[1].split() == ["example_gemm", "sm_80", "1", "0.50", "2.4-2.7"]
    assert "1 rows, 1 kernels: 1.0 s in 2 processes" in line
