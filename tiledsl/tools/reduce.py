"""`tiledsl reduce`: delta debugging of IR text. The command judges each program; '{}' in it is the file."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tiledsl.errors import error
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.printer import text
from tiledsl.tools.loading import read_ir, write_output
from tiledsl.validation.reduce import reduce_kernel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.tir", help="IR text that shows the failure")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="after --; '{}' is the file, else it comes last")
    parser.add_argument(
        "--passes", action="store_true", help="keep what the command exits with 0 for, not what it fails"
    )
    parser.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="a longer run is another failure"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write there instead of standard output")


def run(args: argparse.Namespace) -> None:
    """Keeps the exit status of the first run where that is a failure, so that one failure does not become another."""
    kernel = read_ir(args.file)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(args.file if args.file != "-" else "program.tir").name
        command = [part.replace("{}", str(file)) for part in args.command]
        if command == args.command:
            command.append(str(file))

        def status(program: Kernel) -> int | None:
            file.write_text(text(program), encoding="utf-8")
            try:
                return subprocess.run(command, capture_output=True, timeout=args.timeout, check=False).returncode
            except subprocess.TimeoutExpired:
                return None
            except OSError as problem:
                raise error("TD0732", problem=f"'{command[0]}' cannot be run: {problem.strerror}") from None

        wanted = status(kernel)
        if (wanted == 0) != args.passes:
            raise error("TD0732", problem=f"the command exits with {wanted}")
        result = reduce_kernel(kernel, lambda k: status(k) == wanted, lambda said: print(said, file=sys.stderr))
    write_output(args.output, text(result))
