"""The same source gives the same IR text and the same CUDA bytes in every process, whatever the hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import hashlib, sys
sys.path.insert(0, {folder!r})
from cases import all_cases
names = "gemm-ragged attention-d64-causal-90x90 reduce-sum-dim1 gemm-dynamic-70x50x105 decode-split-100"
for name in names.split():
    lowered = all_cases()[name].compiled().lowered
    from tiledsl.ir.printer import text
    for stage in lowered.stages:
        print(name, stage.name, hashlib.sha256(text(stage.kernel).encode()).hexdigest())
    print(name, "cuda", hashlib.sha256(lowered.cuda.encode()).hexdigest())
"""


def test_same_bytes_across_processes_and_hash_seeds() -> None:
    code = CODE.format(folder=str(Path(__file__).parent))
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] and outputs[0] == outputs[1]
