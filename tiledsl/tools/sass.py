"""`tiledsl sass`: the instruction mix of a cubin and of its main loops. Needs nvdisasm, no GPU."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from tiledsl.errors import error
from tiledsl.report.sass_code import find_nvdisasm
from tiledsl.report.sass_stats import KernelStats, Mix, analyze


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.cubin")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--code", action="store_true", help="the instructions of each main loop too")


def run(args: argparse.Namespace) -> None:
    if find_nvdisasm() is None:
        raise error("TD0905")
    try:
        stats = analyze(Path(args.file).read_bytes())
    except OSError as problem:
        raise error("TD0710", path=args.file, problem=problem.strerror) from None
    except RuntimeError as problem:  # nvdisasm's own words
        raise error("TD0710", path=args.file, problem=str(problem).strip()) from None
    if args.json:
        shown = {name: {"total": asdict(s.total), "main_loop": _or_none(s.main_loop)} for name, s in stats.items()}
        print(json.dumps(shown, indent=1))
        return
    for s in stats.values():
        print("\n".join(_lines(s, args.code)))


def _or_none(mix: Mix | None) -> dict[str, object] | None:
    return asdict(mix) if mix else None


def _lines(s: KernelStats, code: bool) -> list[str]:
    lines = [s.name, f"  {'whole kernel':<14}{_mix(s.total)}"]
    if s.main_loop is None:
        return [*lines, "  no loop"]
    m = s.main_loop
    lines.append(f"  {'main loop':<14}{_mix(m)}")
    if m.tensor:
        lines.append(
            f"  {'':<14}{m.integer_per_tensor:.2f} integer instructions per tensor instruction, "
            f"{m.issue_per_tensor_cycle:.2f} issue slots per tensor cycle"
        )
    if code:
        lines += [f"    {f'@{i.pred} ' if i.pred else ''}{i.op} {i.args}".rstrip() for i in s.main_loop_code]
    return lines


def _mix(m: Mix) -> str:
    return f"{m.instructions} instructions: " + ", ".join(f"{n} {name}" for name, n in m.classes.items())
