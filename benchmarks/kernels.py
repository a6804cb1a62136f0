"""Registers, spills, shared memory and bank conflicts of every example kernel, as Markdown tables. No GPU needed.

One is for sm_80 and sm_89, one for sm_90a, which has its own way for most kernels and some kernels to itself.

python benchmarks/kernels.py [NAME ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "e2e")]
TABLES = (("sm_80", "sm_89"), ("sm_90a",))


def row(name: str, targets: tuple[str, ...]) -> str:
    """One line: registers and spilled bytes of each entry for each target, then what is the same for all targets."""
    from cases import cases_by_name

    from tiledsl.errors import TileError

    cells, shared, conflicts = [], 0, 0
    for target in targets:
        try:
            report = cases_by_name()[name].compiled(target).report()
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
    from cases import all_cases, cases_by_name

    for targets in TABLES:
        cases = cases_by_name() if "sm_90a" in targets else all_cases()
        columns = " | ".join(f"{t}: registers / bytes spilled" for t in targets)
        print(f"\n| kernel | {columns} | shared bytes | conflicts |")
        print("|" + "---|" * (len(targets) + 3))
        for name in cases:
            if not sys.argv[1:] or name in sys.argv[1:]:
                print(row(name, targets), flush=True)


if __name__ == "__main__":
    main()
