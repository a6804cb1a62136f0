"""The `tiledsl` command: finds the sub-command, and prints errors as the compiler means them."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from tiledsl.errors import TileError

# Each is a module of tiledsl.tools with `add_arguments(parser)` and `run(args)`; only the chosen one is imported.
COMMANDS = {
    "dump": "print the IR of a kernel after a pass, or its CUDA text",
    "opt": "run passes on IR text",
    "run": "execute IR text on the CPU and print checksums",
    "compile": "compile IR text or a kernel to a cubin",
    "report": "print registers, spills, shared memory, occupancy and bank conflicts",
    "sass": "count the instructions of a cubin and of its main loops",
    "explain": "explain an error code",
    "layout": "show a layout as a table or a picture",
    "isa": "list the instructions that the compiler knows",
    "env": "print every setting, and the versions of what is installed",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one sub-command. Returns 0, or 1 after printing an error of the user's; argparse exits with 2."""
    words = list(sys.argv[1:] if argv is None else argv)
    chosen = next((w for w in words[:1] if w in COMMANDS), None)
    parser = argparse.ArgumentParser("tiledsl", description="GPU kernels in Python: IR, passes, execution on the CPU.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    tool = None
    for name, about in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        if name == chosen:
            tool = importlib.import_module(f"tiledsl.tools.{name}")
            tool.add_arguments(command)
    args = parser.parse_args(words)
    try:
        if tool is not None:
            tool.run(args)
        sys.stdout.flush()
    except TileError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, as in `tiledsl dump ... | head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
