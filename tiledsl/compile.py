"""The driver: IR -> passes -> CUDA text -> cubin, in the order a reader expects. It decides nothing."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from tiledsl.codegen.concurrent import TensorMapping
from tiledsl.codegen.cuda import cuda_text, emit
from tiledsl.codegen.edited import with_text
from tiledsl.codegen.source import Entry, Source
from tiledsl.errors import error
from tiledsl.ir.nodes import Binary, Buffer, Cast, Const, Extent, Kernel, Var
from tiledsl.passes.base import Pass, run_pipeline
from tiledsl.passes.observers import dump_observer, timing_table
from tiledsl.passes.pipeline import PASSES, pipeline
from tiledsl.runtime import nvrtc
from tiledsl.runtime.program import Program
from tiledsl.runtime.signature import EntryPoint, MapParameter, ScalarParameter, Signature, SizeExpr, TensorParameter
from tiledsl.settings import flag, logger, setting
from tiledsl.target import Target

Options = Mapping[str, Mapping[str, object]]  # pass name -> option -> value


@dataclass(frozen=True, slots=True)
class Stage:
    """The kernel after the pass `name`; the first stage is "trace", what the frontend gave."""

    name: str
    kernel: Kernel
    seconds: float


@dataclass(frozen=True)
class Lowered:
    """A kernel at every stage down to its CUDA text. The cubin is made when first asked for.

    `edited`: the text is a user's, and no longer what was emitted from the last stage.
    """

    target: Target
    stages: tuple[Stage, ...]
    source: Source
    emit_seconds: float
    fast_math: bool = False
    edited: bool = False

    @property
    def final(self) -> Kernel:
        return self.stages[-1].kernel

    @cached_property
    def cuda(self) -> str:
        """What NVRTC is given: the device functions in use, then the kernels."""
        return cuda_text(self.source)

    @property
    def flags(self) -> tuple[str, ...]:
        """What NVRTC is told beside the target."""
        own = ("--use_fast_math",) if self.fast_math else ()
        return (*own, *(f for f in self.final.flags if f not in own))

    @cached_property
    def signature(self) -> Signature:
        return signature_of_kernel(self.final, self.source)

    @cached_property
    def compiled(self) -> nvrtc.Compiled:
        made = nvrtc.compile_cuda(self.cuda, self.target.name, self.flags)
        how = f"NVRTC took {made.seconds * 1e3:.0f} ms" if made.seconds else "from the cache"
        logger().info("%s for %s: %s", self.final.name, self.target.name, how)
        return made

    @cached_property
    def program(self) -> Program:
        return Program(self.signature, self.compiled.cubin)

    def portable(self) -> Lowered:
        """What other processes need to run it: the stages between the first and the last stay here."""
        made = replace(self, stages=(self.stages[0], self.stages[-1]))
        return made.with_compiled(self.compiled) if "compiled" in self.__dict__ else made

    def with_compiled(self, made: nvrtc.Compiled) -> Lowered:
        """This kernel with what another process compiled its text to."""
        again = replace(self)
        again.__dict__["compiled"] = made
        return again

    def with_source(self, text: str) -> Lowered:
        """This kernel with an edited CUDA text, called as before. Raises TileError TD0630 to TD0632."""
        return replace(self, source=with_text(self.source, text), edited=True)

    def after(self, name: str) -> Kernel:
        """The kernel after the pass `name`. Raises TileError TD0621 for a name that is no stage."""
        for stage in self.stages:
            if stage.name == name:
                return stage.kernel
        known = ", ".join(s.name for s in self.stages)
        raise error("TD0621", kernel=self.final.name, kind="stage", name=name, known=known)


def lower(
    kernel: Kernel,
    target: Target,
    options: Options | None = None,
    *,
    fast_math: bool = False,
    validate: bool | None = None,
) -> Lowered:
    """Run the whole pipeline. TILEDSL_DUMP writes the IR after each pass, TILEDSL_TIMING prints a table.

    `validate` (default: TILEDSL_VALIDATE) runs the kernel before and after each pass first, and raises TileError TD0730
    where one changes what it computes.
    """
    passes = pipeline(target, _merged(kernel, options or {}))
    if flag("TILEDSL_VALIDATE") if validate is None else validate:
        from tiledsl.validation.observer import validate as require_same  # needs NumPy, which a compilation does not

        require_same(kernel, passes, target)
    stages = [Stage("trace", kernel, 0.0)]
    dump = setting("TILEDSL_DUMP")
    write = dump_observer(dump, Path(setting("TILEDSL_DUMP_DIR")), kernel, tuple(PASSES)) if dump else None

    def observe(p: Pass, before: Kernel, after: Kernel, seconds: float) -> None:
        stages.append(Stage(p.name, after, seconds))
        if write:
            write(p, before, after, seconds)

    with _collection_paused():
        final = run_pipeline(kernel, passes, observe, check=flag("TILEDSL_VERIFY"))
        start = time.perf_counter()
        source = emit(final)
        emitted = time.perf_counter() - start
    if flag("TILEDSL_TIMING"):
        rows = [(s.name, s.seconds) for s in stages[1:]] + [("emit", emitted)]
        print(timing_table(rows), file=sys.stderr)
    return Lowered(target, tuple(stages), source, emitted, fast_math)


def _merged(kernel: Kernel, options: Options) -> dict[str, dict[str, object]]:
    """The options of the kernel's own text, and those given for it, which have the last word."""
    merged: dict[str, dict[str, object]] = {}
    for name, option, value in kernel.options:
        merged.setdefault(name, {})[option] = value
    for name, given in options.items():
        merged[name] = {**merged.get(name, {}), **given}
    return merged


@contextmanager
def _collection_paused() -> Iterator[None]:
    """No search for garbage in cycles, a tenth of the time of lowering: the IR is made of trees."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def signature_of_kernel(kernel: Kernel, source: Source) -> Signature:
    """What the runtime needs to know of a kernel, without IR."""

    def parameter(p: Buffer | Var) -> TensorParameter | ScalarParameter:
        return tensor(p) if isinstance(p, Buffer) else ScalarParameter(p.name, p.dtype.name)

    written = {name for entry in source.entries for name in entry.written}

    def tensor(b: Buffer) -> TensorParameter:
        shape = tuple(size_expr(s) for s in b.shape)
        strides = None if b.strides is None else tuple(size_expr(s) for s in b.strides)
        place = kernel.results.index(b) if b in kernel.results else None
        pointer = b in kernel.pointers
        return TensorParameter(b.name, b.dtype.name, shape, strides, place, b.name in written, pointer)

    def entry_point(entry: Entry) -> EntryPoint:
        grid = tuple(size_expr(e) for e in kernel.launches[entry.launch].grid)
        maps = tuple(map_parameter(m) for m in entry.maps)
        memory = (entry.shared_bytes, entry.params, entry.shared)
        made = EntryPoint(entry.name, grid, entry.threads, *memory, maps, entry.cluster, entry.dependent)
        return replace(made, block=entry.block, users=entry.users, window=entry.window)

    return Signature(
        kernel.name,
        tuple(parameter(p) for p in kernel.params),
        tuple(ScalarParameter(v.name, v.dtype.name) for v in kernel.sizes),
        tuple(tensor(b) for b in kernel.scratch),
        tuple(map(entry_point, source.entries)),
    )


def map_parameter(m: TensorMapping) -> MapParameter:
    """A tensor map of the text as plain data."""
    b = m.view
    strides = None if b.strides is None else tuple(size_expr(s) for s in b.strides)
    return MapParameter(
        m.tensor, b.dtype.name, tuple(size_expr(s) for s in b.shape), m.box, m.swizzle, strides, m.window
    )


def size_expr(e: Extent) -> SizeExpr:
    """An extent or grid expression as plain data."""
    match e:
        case int():
            return e
        case Const(value):
            return int(value)
        case Var(name):
            return name
        case Cast(_, a):
            return size_expr(a)
        case Binary(op, a, b):
            return (op, size_expr(a), size_expr(b))
    raise TypeError(f"{type(e).__name__} is not a size expression")
