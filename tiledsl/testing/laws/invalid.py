"""Laws of wrong programs: success or a coded error with a place; never a traceback, an assertion or a hang."""

from __future__ import annotations

import io
import linecache
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any
from zlib import crc32

from tiledsl.codegen.cuda import emit
from tiledsl.errors import NOWHERE, TileError, VerifyError
from tiledsl.frontend.trace import TensorSpec, trace_kernel
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.pipeline import pipeline
from tiledsl.target import target_named
from tiledsl.testing.laws.base import law, laws_of, time_limit
from tiledsl.testing.strategies.mutations import mutated_kernels, mutated_sources, mutated_texts

TARGET = target_named("sm_80")
HANG = 60  # seconds for a kernel of a few statements


def coded(step: Callable[[], Any], file: str | None, lines: int = 0) -> bool:
    """Whether `step` succeeds; else it must raise a coded error, with a place in `file` if that is given."""
    try:
        with time_limit(HANG):
            step()
    except VerifyError as raised:
        raise AssertionError(f"the compiler's own rules are broken: {raised}") from raised
    except TileError as raised:
        assert raised.code and raised.message and str(raised)
        if file is not None:
            assert raised.span is not NOWHERE and raised.span.file == file, f"no place in {file}: {raised}"
            assert 1 <= raised.span.line <= lines, f"{raised.span} is outside of the text"
        return False
    return True


def compiled(kernel: Kernel) -> None:
    emit(run_pipeline(kernel, pipeline(TARGET)))


@law(examples=80, share=4, source=mutated_sources())
def wrong_sources_are_coded_errors_with_a_place(source: str) -> None:
    file = f"<mutant {crc32(source.encode()):08x}>"
    lines = source.splitlines(keepends=True)
    linecache.cache[file] = (len(source), None, lines, file)
    try:
        scope: dict[str, Any] = {"__name__": "mutant"}
        try:
            exec(compile(source, file, "exec"), scope)
        except (SyntaxError, ValueError):  # Python's own: the kernel is not even called
            return
        tensors = {n: TensorSpec(*given) for n, given in scope.get("TENSORS", {}).items()}
        found: list[Kernel] = []
        with redirect_stdout(io.StringIO()):  # a mutant may print
            traced = coded(
                lambda: found.append(trace_kernel(scope["kernel"], scope.get("STATIC", {}), tensors)), file, len(lines)
            )
        if traced:
            verify(found[0])
            coded(lambda: compiled(found[0]), file, len(lines))
    finally:
        del linecache.cache[file]


@law(examples=60, share=4, source=mutated_texts())
def wrong_texts_are_coded_errors_with_a_place(source: str) -> None:
    """A rule of the IR that the text breaks is an error at its place too; passes keep the rules."""
    file, lines = "<mutant>", source.count("\n") + 1
    found: list[Kernel] = []
    if not coded(lambda: found.append(parse(source, file)), file, lines):
        return
    kernel = found[0]
    try:
        verify(kernel)
    except VerifyError as said:
        assert said.message and said.span is not NOWHERE and said.span.line >= 1, f"no place: {said}"
        return
    assert parse(text(kernel)) is not None
    coded(lambda: compiled(kernel), file, lines)


@law(examples=60, share=4, kernel=mutated_kernels())
def wrong_kernels_are_coded_errors(kernel: Kernel) -> None:
    """IR with nodes exchanged: `verify` says what is wrong with it, or all passes make code of it, or say why not."""
    try:
        verify(kernel)
    except VerifyError as said:
        assert said.message
        return
    coded(lambda: compiled(kernel), None)


LAWS = laws_of(globals())
