"""Words that change how a kernel is compiled or launched, and nothing of what it computes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from tiledsl.frontend.proxies import describe
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Tensor
from tiledsl.frontend.tracer import Tracer, tracer_of
from tiledsl.ir.nodes import Buffer, Persisting, Space


def annotate_l2_hit_ratio(ratios: Mapping[Any, float]) -> None:
    """Asks the GPU to keep a tensor of the call in its L2 cache while the launch runs.

    `T.annotate_l2_hit_ratio({A: 0.75})`: the ratio, above 0 and up to 1, is the share of its lines that are kept; the
    others pass through. It is the launch attribute "access policy window" (CUDA C++ Programming Guide, "L2 Cache
    Control"), of which a launch has one: more than one tensor is TileError TD0226, what is no tensor TD0235. The CPU
    executions have no caches and do the same without it.
    """
    word = "T.annotate_l2_hit_ratio"
    frame = tracer_of(word).launch(word)
    if not isinstance(ratios, Mapping) or len(ratios) != 1 or frame.persisting:
        raise fail("TD0226", word=word, name="the table", value=describe(ratios), allowed="one tensor: {A: 0.5}")
    ((tensor, ratio),) = ratios.items()
    if not isinstance(ratio, int | float) or not 0 < ratio <= 1:
        raise fail("TD0226", word=word, name="the ratio", value=describe(ratio), allowed="a number above 0, up to 1")
    frame.persisting = (Persisting(_of_the_call(word, tensor), float(ratio)),)


def annotate_restrict_buffers(*buffers: Any) -> None:
    """These tensors of the call may share memory with each other: their pointers are emitted without `__restrict__`.

    So each thread's accesses to them keep their order. Nothing orders those of different threads, as ever; and what a
    pipelined loop reads ahead cannot be told from what it writes: TileError TD0150 if it writes one of them and uses
    another. Other tensors are TD0226, other values TD0235. `T.annotate_restrict_buffers(X, Y)`.
    """
    word = "T.annotate_restrict_buffers"
    tracer = tracer_of(word)
    found = [_of_the_call(word, b) for b in buffers]
    tracer.overlapping |= dict.fromkeys(found)
    first, *others = tracer.overlapping
    tracer.storage |= dict.fromkeys(others, first)  # who keeps a value of one sees what is written through another


def annotate_compile_flags(flags: Sequence[str] | str) -> None:
    """What NVRTC is told beside the target: `T.annotate_compile_flags(["--use_fast_math", "--maxrregcount=64"])`.

    A string is divided at its blanks. NVRTC's own options (NVRTC, "Supported Compile Options"); one that it does not
    know is TileError TD0903, what is no option TD0226. They are the same for all launches of the kernel and change no
    text.
    """
    word = "T.annotate_compile_flags"
    tracer = tracer_of(word)
    given = shlex.split(flags) if isinstance(flags, str) else flags
    if not isinstance(given, Sequence) or not all(isinstance(f, str) and f.startswith("-") for f in given):
        raise fail("TD0226", word=word, name="flags", value=describe(flags), allowed="options of NVRTC")
    tracer.flags += [f for f in given if f not in tracer.flags]


def annotate_pass_configs(configs: Mapping[str, Mapping[str, object]]) -> None:
    """Options of passes, as the decorator's `options`, which have the last word.

    `T.annotate_pass_configs({"warp-specialise": {"enabled": False}})`; docs/passes.md has them all. When the kernel is
    compiled raises TileError TD0761 for an unknown pass, TD0762 and TD0763 for wrong options of one; TD0226 at once for
    what is no such table.
    """
    word = "T.annotate_pass_configs"
    tracer = tracer_of(word)
    if not isinstance(configs, Mapping) or not all(isinstance(v, Mapping) for v in configs.values()):
        allowed = '{"pass-name": {"option": value}}'
        raise fail("TD0226", word=word, name="configs", value=describe(configs), allowed=allowed)
    _note(tracer, configs)


def _note(tracer: Tracer, configs: Mapping[str, Mapping[str, object]]) -> None:
    for name, options in configs.items():
        tracer.options |= {(name, option): value for option, value in options.items()}


def _of_the_call(word: str, tensor: Any) -> Buffer:
    """A tensor parameter. Raises TileError TD0235 for anything else."""
    if not isinstance(tensor, Tensor):
        raise fail("TD0235", word=word, parameter="a tensor", value=describe(tensor))
    b = tensor.buffer
    if b.space is not Space.GLOBAL or b not in tracer_of(word).params.values():
        raise fail("TD0226", word=word, name="a tensor", value=describe(tensor), allowed="tensors of the call")
    return b
