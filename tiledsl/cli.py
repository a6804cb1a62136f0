"""The `tiledsl` command: finds the sub-command, and prints errors as the compiler means them."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from tiledsl.errors import TileError

# Each is a module of tiledsl.tools with `add_arguments(parser)` and `run(args)`, which returns the exit status or None
# for 0; only the chosen one is imported.
GROUPS = {
    "check a kernel without a GPU": {
        "check": "run a kernel on the CPU under many schedules: races, bounds, deadlocks, differences",
        "run": "execute IR text of any stage, or a kernel, on the CPU and print checksums",
    },
    "look at a kernel": {
        "dump": "print the IR of a kernel after a pass, or its CUDA text",
        "report": "print resources, what accesses cost, operations, bytes and a roofline",
        "layout": "show a layout as a table or a picture",
        "trace": "write a page that shows every pass, the plans, the CUDA text and the costs of a kernel",
        "timeline": "draw the run of one block on the CPU: warps, copies in flight, waits, barriers",
        "sass": "count the instructions of a cubin and of its main loops",
    },
    "find a bug of the compiler": {
        "bisect": "find the first pass after which a kernel computes something else, or races",
        "reduce": "make IR text that fails a command as small as it can be",
        "repro": "run a repro bundle again",
    },
    "compile": {
        "opt": "run passes on IR text",
        "compile": "compile IR text or a kernel to a cubin",
    },
    "look something up": {
        "explain": "explain an error code",
        "isa": "list the instructions that the compiler knows",
        "tune": "print the results of @tiledsl.autotune, write them to a file, or read them from one",
        "cache": "list what is kept on disk, read it all and drop what is damaged, or remove it",
        "env": "print every setting, and the versions of what is installed",
    },
}
_HOW = "`tiledsl COMMAND --help` says what it takes. Exit status: 1 if something was found, 2 if it could not be done."
COMMANDS = {name: about for group in GROUPS.values() for name, about in group.items()}


def _listing() -> str:
    """The sub-commands by group, as `tiledsl --help` shows them."""
    width = max(map(len, COMMANDS))
    groups = [[f"{title}:", *(f"  {n:<{width}}  {about}" for n, about in g.items())] for title, g in GROUPS.items()]
    return "\n\n".join("\n".join(lines) for lines in groups) + f"\n\n{_HOW}"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one sub-command. Returns its exit status: 1 says that it found what it looks for (differences, findings).

    What it could not do is 2, after printing the error of the user's; argparse exits with 2 too.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    chosen = next((w for w in words[:1] if w in COMMANDS), None)
    parser = argparse.ArgumentParser(
        *("tiledsl", "tiledsl COMMAND ..."),
        description="GPU kernels in Python: IR, passes, execution on the CPU.",
        epilog=_listing(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", prog="tiledsl", help="see below")
    tool = None
    for name, about in COMMANDS.items():
        command = commands.add_parser(name, description=about[0].upper() + about[1:] + ".")
        if name == chosen:
            tool = importlib.import_module(f"tiledsl.tools.{name}")
            tool.add_arguments(command)
    args = parser.parse_args(words)
    status = 0
    try:
        if tool is not None:
            status = tool.run(args) or 0
        sys.stdout.flush()
    except TileError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, as in `tiledsl dump ... | head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status
