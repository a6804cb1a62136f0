"""`tiledsl compile`: IR text or a kernel to a cubin, PTX or CUDA text."""

from __future__ import annotations

import argparse
from pathlib import Path

from tiledsl.tools.loading import add_kernel_arguments, lowered, write_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel_arguments(parser)
    parser.add_argument(
        *("-o", "--output"), metavar="FILE", help="a .cubin, .ptx or .cu file (default: the kernel's name with .cubin)"
    )


def run(args: argparse.Namespace) -> None:
    result = lowered(args)
    output = args.output or f"{result.final.name}.cubin"
    match Path(output).suffix:
        case ".cu":
            write_file(output, result.cuda.encode())
        case ".ptx":
            write_file(output, result.compiled.ptx.encode())
        case _:
            write_file(output, result.compiled.cubin)
    print(f"{output}: {Path(output).stat().st_size} bytes for {result.target.name}")
    if Path(output).suffix != ".cu":
        for r in result.compiled.resources:
            spilled = r.spill_store_bytes + r.spill_load_bytes
            print(f"  {r.name}: {r.registers} registers, {spilled} bytes spilled")
