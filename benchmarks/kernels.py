"""Registers, spills, shared memory and bank conflicts of every example kernel, as a Markdown table. No GPU needed.

python benchmarks/kernels.py [NAME ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "e2e")]
TARGETS = ("sm_80", "sm_89", "sm_90a")


def row(name: str) -> str:
    """One line: registers and spilled bytes of each entry for each target, then what is the same for all targets."""
    from cases import all_cases

    from tiledsl.errors import TileError

    cells, shared, conflicts = [], 0, 0
    for target in TARGETS:
        try:
            report = all_cases()[name].compiled(target).report()
        except TileError as error:
            if error.code != "TD0501":
                raise
            cells.append("does not fit")
            continue
        cells.append(", ".join(f"{e.registers} / {e.spill_bytes}" for e in report.entries))
        shared = max(shared, *(e.shared_bytes for e in report.entries))
        conflicts = max(conflicts, *(e.conflicts for e in report.entries))
    return f"| {name} | {' | '.join(cells)} | {shared} | {conflicts} |"


def main() -> None:
    from cases import all_cases

    print(f"| kernel | {' | '.join(f'{t}: registers / bytes spilled' for t in TARGETS)} | shared bytes | conflicts |")
    print("|" + "---|" * (len(TARGETS) + 3))
    for name in sys.argv[1:] or all_cases():
        print(row(name), flush=True)


if __name__ == "__main__":
    main()
