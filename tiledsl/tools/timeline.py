"""`tiledsl timeline`: one block's run on the CPU device as a page or a picture."""

from __future__ import annotations

import argparse

from tiledsl.backends import Backend
from tiledsl.checking.execute import run_once
from tiledsl.checking.inputs import inputs_of
from tiledsl.checking.schedules import MODES
from tiledsl.compile import Lowered
from tiledsl.cpu.observe import COPY_TICKS, Observation
from tiledsl.cpu.record import Record
from tiledsl.errors import error
from tiledsl.tools.loading import add_kernel_arguments, add_sizes, assignments, lowered, write_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel_arguments(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="timeline.html", help=".html or .svg (default: timeline.html)"
    )
    parser.add_argument("--block", default="0,0,0", metavar="X,Y,Z", help="which block (default: 0,0,0)")
    parser.add_argument("--launch", metavar="NAME", help="which launch of the kernel (default: the first)")
    parser.add_argument("--mode", choices=MODES, default="early", help="when copies deliver their data")
    parser.add_argument("--seed", type=int, default=0, help="of the inputs and of what is random")
    parser.add_argument("--latency", type=int, default=COPY_TICKS, metavar="TICKS", help="how long a copy takes")
    add_sizes(parser)


def run(args: argparse.Namespace) -> None:
    from tiledsl.viewer.page import require_packages, timeline_page, timeline_svg
    from tiledsl.viewer.timeline import timeline_of

    require_packages()
    kernel = lowered(args)
    found = timeline_of(recorded(kernel, args), kernel, args.mode)
    page = timeline_svg(found) if args.output.endswith(".svg") else timeline_page(found)
    write_file(args.output, page.encode())
    print(f"{args.output}: {found.kernel}, block {found.block}, {found.end} ticks")


def recorded(kernel: Lowered, args: argparse.Namespace) -> Record:
    """The record of the chosen block and launch, run on made inputs."""
    block = block_of(args.block)
    known = [e.name for e in kernel.source.entries]
    if args.launch is not None and args.launch not in known:
        raise error("TD0735", kernel=kernel.final.name, name=args.launch, known=", ".join(known))
    wanted = args.launch or known[0]
    given = next(inputs_of(kernel, (), assignments(args.size), args.seed))
    watch = Observation(count=False, block=block, latency=args.latency)
    how = {"mode": args.mode, "seed": args.seed, "check": True, "observe": watch}
    run_once(kernel, given.values, Backend.CPU, **how)
    if wanted not in watch.records:
        raise error("TD0734", block=args.block, kernel=wanted)
    return watch.records[wanted]


def block_of(text: str) -> tuple[int, int, int]:
    """Up to three numbers with commas. Raises TileError TD0736."""
    numbers = [part.strip() for part in text.split(",")]
    if len(numbers) > 3 or not all(part.isdecimal() for part in numbers):
        raise error("TD0736", text=text)
    x, y, z = (*map(int, numbers), 0, 0)[:3]
    return x, y, z
