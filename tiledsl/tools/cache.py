"""`tiledsl cache log|verify|clear`: what is kept on disk, whether it is what was written, and removing it."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import asdict

from tiledsl.cache.entries import KINDS, cache_directory
from tiledsl.cache.upkeep import Stored, clear, described, limit, stored, verify

_DAY = 86400.0
_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_subparsers(dest="what", required=True, metavar="log|verify|clear")
    log = what.add_parser("log", description="List the entries, those used last first.")
    log.add_argument("--json", action="store_true", help="every entry, as JSON")
    log.add_argument("-n", type=int, default=_SHOWN, metavar="COUNT", help=f"how many entries (default: {_SHOWN})")
    check = what.add_parser("verify", description="Read every entry, and drop those that are damaged.")
    remove = what.add_parser("clear", description="Remove entries.")
    remove.add_argument(
        "--older-than", type=float, default=0.0, metavar="DAYS", help="only those not used for so many days"
    )
    for command in (log, check, remove):
        command.add_argument("--kind", choices=sorted(KINDS), help="only entries of that kind")


def run(args: argparse.Namespace) -> int:
    if args.what == "log":
        return _log(args)
    if args.what == "verify":
        whole, damaged = verify(args.kind)
        for e in damaged:
            print(f"damaged, dropped: {e.kind} {e.key}")
        print(f"{whole} entries are whole, {len(damaged)} were damaged")
        return 1 if damaged else 0
    gone = clear(args.kind, args.older_than * _DAY)
    print(f"{len(gone)} entries removed, {_size(sum(e.bytes for e in gone))}")
    return 0


def _log(args: argparse.Namespace) -> int:
    found = sorted(stored(args.kind), key=lambda e: -e.used)
    if args.json:
        print(json.dumps([{**asdict(described(e)), "path": str(e.path)} for e in found], indent=1))
        return 0
    allowed = limit()
    print(f"{cache_directory()}: {_total(found)}{f', at most {_size(allowed)}' if allowed else ''}")
    for name, kind in KINDS.items():
        of_kind = [e for e in found if e.kind == name]
        if of_kind:
            print(f"  {name:<12} {_total(of_kind)}: {kind.what}")
    for e in map(described, found[: args.n]):
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(e.used))
        print(f"{used}  {e.kind:<12} {e.key[:12]}  {_size(e.bytes):>8}  {e.about}")
    if len(found) > args.n:
        print(f"and {len(found) - args.n} more (-n {len(found)})")
    return 0


def _total(entries: Iterable[Stored]) -> str:
    listed = list(entries)
    return f"{len(listed)} entries, {_size(sum(e.bytes for e in listed))}"


def _size(n: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if n < 1000:
            return f"{n:.3g} {unit}" if unit != "bytes" else f"{n:.0f} bytes"
        n /= 1000
    return f"{n:.3g} GB"
