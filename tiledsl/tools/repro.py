"""`tiledsl repro`: runs a repro bundle again, and says whether this version still has the failure."""

from __future__ import annotations

import argparse

from tiledsl.validation.bundle import read_bundle
from tiledsl.validation.repro import arrays, rerun


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", help="a directory that validation, bisect or the fuzzer wrote")


def run(args: argparse.Namespace) -> int:
    bundle = read_bundle(args.directory)
    print(f"{bundle.what}: {bundle.message}")
    for line in arrays(bundle):
        print(f"  {line}")
    if command := bundle.facts.get("command"):
        print(f"to see it again: {command}")
        return 1
    found = rerun(bundle)
    print(f"again: {found.stored or 'no difference'}")
    if found.remade and bundle.after is not None:
        print(f"with this version's {bundle.what}: {found.now or 'no difference'}")
    return int(found.stored is not None)
