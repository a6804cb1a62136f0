"""What the tools share: kernels from `FILE.py:kernel` and `FILE.tir`, values from the command line."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from glob import glob
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from tiledsl.codegen.cuda import emit
from tiledsl.compile import Lowered, Options, Stage, lower
from tiledsl.decorator import TileKernel
from tiledsl.errors import NOWHERE, Span, TileError, VerifyError, error
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.tile import is_tile_stage
from tiledsl.ir.verify import verify
from tiledsl.passes.pipeline import PASSES
from tiledsl.settings import setting
from tiledsl.target import DEFAULT_TARGET, Target, target_named
from tiledsl.testing import Case, Row


def add_kernel_arguments(parser: argparse.ArgumentParser) -> None:
    """A kernel in Python or as IR text, its compile-time parameters, the target."""
    parser.add_argument(
        *("kernel",),
        metavar="FILE.py:KERNEL|FILE.tir",
        help="a kernel or a case of the file, or IR text ('-' reads it)",
    )
    add_target(parser)
    add_parameters(parser)


def add_parameters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        *("-a", "--argument"), action="append", default=[], metavar="NAME=VALUE", help="a compile-time parameter"
    )


def add_sizes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size", action="append", default=[], metavar="NAME=VALUE", help="a dynamic size or a scalar parameter"
    )


def add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", help=f"the GPU, e.g. sm_90a (default: TILEDSL_TARGET, else {DEFAULT_TARGET})")


def chosen_target(name: str | None) -> Target:
    return target_named(name or setting("TILEDSL_TARGET") or DEFAULT_TARGET)


def assignments(items: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE pairs; values are Python literals, or else strings. Raises TileError TD0711."""
    result: dict[str, Any] = {}
    for item in items:
        name, found, value = item.partition("=")
        if not found or not name.isidentifier():
            raise error("TD0711", item=item)
        try:
            result[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            result[name] = value
    return result


def the_file(path: str) -> str:
    """The one file that a pattern like dump/07-*.tir names, for shells that leave it; any other path as it is.

    Raises TileError TD0725 where the pattern names several.
    """
    if Path(path).exists() or not set(path) & set("*?["):
        return path
    found = sorted(glob(path))
    if len(found) > 1:
        raise error("TD0725", pattern=path, count=len(found), files=", ".join(found))
    return found[0] if found else path


def read_text(path: str) -> str:
    """The file, or standard input for '-'. Raises TileError TD0710, TD0725 for a pattern that names several files."""
    try:
        return sys.stdin.read() if path == "-" else Path(the_file(path)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise error("TD0710", path=path, problem=getattr(problem, "strerror", None) or problem) from None


def read_ir(path: str) -> Kernel:
    """The verified kernel of an IR text. Raises TileError TD0701 to TD0708 for its form, TD0720 for its meaning."""
    kernel = parse(read_text(path), "<stdin>" if path == "-" else the_file(path))
    try:
        verify(kernel)
    except VerifyError as said:  # here the user wrote it, not a pass
        raise error("TD0720", said.span, problem=said.message) from None
    return kernel


def split_spec(spec: str) -> tuple[str, str]:
    """File and name of `FILE.py:NAME`; the file may have a drive letter, the name may be missing."""
    path, _, name = spec.rpartition(":")
    return (path, name) if path.endswith(".py") else (spec, "")


def is_python(spec: str) -> bool:
    return split_spec(spec)[0].endswith(".py")


def load_tile_kernel(spec: str, static: Mapping[str, Any]) -> tuple[TileKernel, dict[str, Any]]:
    """The kernel of `FILE.py:NAME` and the compile-time arguments that are left for it."""
    return find_tile_kernel(load_module(spec), spec, static)


def find_tile_kernel(module: ModuleType, spec: str, static: Mapping[str, Any]) -> tuple[TileKernel, dict[str, Any]]:
    """The kernel that `spec` names in the module of its file, and the compile-time arguments that are left for it.

    The name may be left out where the file has one kernel. A function that makes a kernel is called with `static`. The
    name of one of the file's cases stands for its kernel, with the case's compile-time arguments and shapes.
    """
    path, name = split_spec(spec)
    names = vars(module)
    kernels = [n for n, value in names.items() if isinstance(value, TileKernel)]
    if not name and len(kernels) != 1:
        functions = [n for n, f in names.items() if isinstance(f, FunctionType) and f.__module__ == names["__name__"]]
        shown = ", ".join(kernels) or "none", ", ".join(functions) or "none"
        raise error("TD0713", path=path, known=shown[0], functions=shown[1])
    found = names.get(name or kernels[0])
    if isinstance(found, FunctionType):
        made = _call(found, static, path)
        if isinstance(made, TileKernel):
            return made, {}
    if isinstance(found, TileKernel):
        return found, dict(static)
    cases = cases_of(module)
    for case in cases:
        if case.name == name:
            return case.kernel, {**case.static, "tensors": case.shapes(), **static}
    if cases:
        shown = ", ".join(kernels) or "none", ", ".join(c.name for c in cases)
        raise error("TD0724", path=path, name=name, known=shown[0], cases=shown[1])
    raise error("TD0712", path=path, name=name, known=", ".join(kernels) or "no kernel")


def cases_of(module: ModuleType, pattern: str = "*") -> list[Case]:
    """What the file's function cases() gives, and the reduced cases of its rows, of names like `pattern`."""
    cases = [c for c in _given_by(module, "cases") if isinstance(c, Case)]
    cases += [c for row in rows_of(module) for c in row.reduced]
    return [c for c in cases if fnmatchcase(c.name, pattern)]


def rows_of(module: ModuleType) -> list[Row]:
    """The rows of docs/rows.md that the file's function rows() gives, if it has one."""
    return [row for row in _given_by(module, "rows") if isinstance(row, Row)]


def find_rows(examples: Path) -> dict[Path, list[Row]]:
    """The rows of each file in the folders of `examples` that has some."""
    found = {path: rows_of(load_module(str(path))) for path in sorted(examples.glob("*/*.py"))}
    return {path: rows for path, rows in found.items() if rows}


def _given_by(module: ModuleType, name: str) -> list[object]:
    """What the function `name` of the module gives; nothing if there is none that needs no arguments."""
    make = vars(module).get(name)
    if not isinstance(make, FunctionType) or inspect.signature(make).parameters:
        return []
    try:
        return list(make())
    except TileError:
        raise
    except Exception as problem:
        raise _raised(problem, str(module.__file__)) from None


def _call(make: FunctionType, static: Mapping[str, Any], path: str) -> object:
    try:
        inspect.signature(make).bind(**static)
    except TypeError as problem:
        raise error("TD0719", name=make.__name__, problem=problem) from None
    try:
        return make(**static)
    except TileError:
        raise
    except Exception as problem:
        raise _raised(problem, path) from None


def load_module(spec: str) -> ModuleType:
    """The module of the Python file of `spec`, run with its folder on the path. Raises TileError TD0710 and TD0714."""
    path, _ = split_spec(spec)
    file = Path(path)
    if not file.is_file():
        raise error("TD0710", path=path, problem="no such file")
    found = importlib.util.spec_from_file_location(file.stem, file)
    if found is None or found.loader is None:
        raise error("TD0710", path=path, problem="no Python file")
    module = importlib.util.module_from_spec(found)
    sys.modules[file.stem] = module
    sys.path.insert(0, str(file.parent))
    try:
        found.loader.exec_module(module)
    except TileError:
        raise
    except Exception as problem:
        raise _raised(problem, path) from None
    finally:
        sys.path.remove(str(file.parent))
    return module


def _raised(problem: Exception, path: str) -> TileError:
    """The user's exception as an error at the last line of the file that it went through."""
    span = NOWHERE
    frames = [f for f in traceback.extract_tb(problem.__traceback__) if f.filename == path]
    if isinstance(problem, SyntaxError) and problem.lineno:
        col = (problem.offset or 1) - 1
        span = Span(path, problem.lineno, col, problem.lineno, col + 1)
    elif frames and frames[-1].lineno:
        line = frames[-1].lineno
        span = Span(path, line, frames[-1].colno or 0, line, frames[-1].end_colno or 1)
    return error("TD0714", span, path=path, kind=type(problem).__name__, problem=problem)


def traced(args: argparse.Namespace) -> Kernel:
    """The kernel that the arguments of `add_kernel_arguments` name, before any pass."""
    if is_python(args.kernel):
        kernel, static = load_tile_kernel(args.kernel, assignments(args.argument))
        return kernel.trace(**static)
    return read_ir(args.kernel)


def lowered(args: argparse.Namespace) -> Lowered:
    """That kernel after all passes; IR text of the thread stage is taken as it is."""
    return lowered_with_options(args)[0]


def lowered_with_options(args: argparse.Namespace) -> tuple[Lowered, Options]:
    """And the options of passes that it was lowered with."""
    if not is_python(args.kernel):
        return lower_text(read_ir(args.kernel), chosen_target(args.target)), {}
    kernel, static = load_tile_kernel(args.kernel, assignments(args.argument))
    compiled = kernel.compile(target=chosen_target(args.target or kernel.target).name, **static)
    return compiled.lowered, kernel.options


def lower_text(kernel: Kernel, target: Target) -> Lowered:
    """All passes if the kernel is at the tile stage; wholly lowered text is compiled unchanged.

    Raises TileError TD0709 for anything between: such text may lack its barriers, so it must not run on a GPU. The
    facts tell: the last of them, that no index is left, is established only after the barriers are there.
    """
    if is_tile_stage(kernel):
        return lower(kernel, target)
    try:
        for p in tuple(PASSES.values())[tuple(PASSES).index("lower-tiles") :]:
            for fact in p.ensures:
                fact(kernel)
    except VerifyError as said:
        raise error("TD0709", said.span, kernel=kernel.name, problem=said.message) from None
    return Lowered(target, (Stage("trace", kernel, 0.0),), emit(kernel), 0.0)


def write_output(path: str | None, text: str) -> None:
    """To the file, or standard output. Raises TileError TD0715."""
    if path is None or path == "-":
        sys.stdout.write(text)
    else:
        write_file(path, text.encode())


def write_file(path: str, data: bytes) -> None:
    try:
        Path(path).write_bytes(data)
    except OSError as problem:
        raise error("TD0715", path=path, problem=problem.strerror) from None
