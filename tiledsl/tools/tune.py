"""`tiledsl tune log|export|import`: the results of searches in the cache, and files of them."""

from __future__ import annotations

import argparse

from tiledsl.tuning.keep import export_results, import_results, results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_subparsers(dest="what", required=True, metavar="log|export|import")
    log = what.add_parser("log", description="Print the results in the cache.")
    export = what.add_parser("export", description="Write the results in the cache to a JSON file.")
    for command in (log, export):
        command.add_argument("--kernel", help="only the results of the kernel, or function, of that name")
    bring = what.add_parser("import", description="Put the results of a JSON file into the cache.")
    for command in (export, bring):
        command.add_argument("file", metavar="FILE.json")


def run(args: argparse.Namespace) -> None:
    if args.what == "log":
        found = [r for r in results() if args.kernel in (None, r.kernel)]
        print("\n".join(map(str, found)) if found else "no results")
    elif args.what == "export":
        print(f"{export_results(args.file, args.kernel)} results written to {args.file}")
    else:
        for r in import_results(args.file):
            print(str(r).partition("\n")[0])
