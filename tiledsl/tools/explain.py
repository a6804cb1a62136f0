"""`tiledsl explain`: what an error code means, and what to do."""

from __future__ import annotations

import argparse
from difflib import get_close_matches
from textwrap import fill

from tiledsl.catalogue import CATALOGUE, Entry
from tiledsl.errors import error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", nargs="?", metavar="TD####", help="the code (default: list all)")


def run(args: argparse.Namespace) -> None:
    if args.code is None:
        print("\n".join(f"{code}  {CATALOGUE[code].message.splitlines()[0]}" for code in sorted(CATALOGUE)))
        return
    code = args.code.upper()
    if code not in CATALOGUE:
        raise error("TD0716", name=args.code, known=", ".join(get_close_matches(code, CATALOGUE)) or "none")
    print(explanation(code, CATALOGUE[code]))


def explanation(code: str, entry: Entry) -> str:
    """The row of the catalogue as a reader wants it; words in braces stand for the facts of the case."""
    parts = [f"{code}: {entry.message}"]
    parts += [fill(entry.explanation, 100)] if entry.explanation else []
    parts += [fill(f"What to do: {entry.hint}.", 100)] if entry.hint else []
    return "\n\n".join(parts)
