"""Words that reach the user's own CUDA functions and kernels."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tiledsl.frontend.binding import bind
from tiledsl.frontend.parameters import dynamic_sizes
from tiledsl.frontend.proxies import Scalar, TypeWord, Variable, dependencies, describe, expr_of, scalar
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Slice, Tensor, tile_of
from tiledsl.frontend.tracer import Tracer, tracer_of
from tiledsl.frontend.typenames import dtype_named
from tiledsl.ir.dtypes import HANDLE, INDEX, DType
from tiledsl.ir.foreign import Declared, declared
from tiledsl.ir.nodes import Address, Buffer, Const, Evaluate, Expr, Extern, Launch, Param, Reference, Var
from tiledsl.language.arguments import whole, wrong
from tiledsl.language.launch import Kernel
from tiledsl.language.sizes import const_sizes
from tiledsl.language.tiles import begin


def import_source(text: str, references: Mapping[str, Callable[..., Any]] | None = None) -> None:
    """Puts CUDA text ahead of the kernel: the functions that T.call_extern calls.

    `T.import_source("__device__ float twice(float x) { return 2 * x; }", {"twice": lambda x: 2 * x})`. The GPU and the
    CPU device compile it. The executions in NumPy call `references`, by name: Python functions that do what the CUDA
    functions do, for one thread, on NumPy numbers; a pointer is a one-dimensional array of the elements from there on,
    which may be changed. Without one they raise TileError TD0820, and TD0821 for a wrong result. TD0226 for what is no
    text or no such table.
    """
    tracer = tracer_of("T.import_source")
    if not isinstance(text, str):
        raise fail("TD0226", word="T.import_source", name="text", value=describe(text), allowed="CUDA text")
    tracer.source.append(text)
    for name, function in (references or {}).items():
        if not isinstance(name, str) or not callable(function):
            allowed = "a dict from names of functions to Python functions"
            raise fail("TD0226", word="T.import_source", name="references", value=describe(references), allowed=allowed)
        tracer.references[name] = Reference(name, function)


def call_extern(dtype: Any, name: str, *args: Any) -> Scalar | None:
    """Calls a CUDA function, exactly once and here; the result has the given dtype, "handle" stands for none.

    `y = T.call_extern("float32", "twice", x)`, or `T.call_extern("handle", "store", T.address_of(Y[i]), x)`. A tensor
    or a part of it is passed as T.address_of. Raises TileError TD0226 for what is no name.
    """
    tracer = begin("T.call_extern")
    called = _call("T.call_extern", dtype, name, args, pure=False)
    if called.type is HANDLE:
        tracer.emit(Evaluate(called.expr, span=tracer.here()))
        return None
    return bind(called, name)


def call_pure_extern(dtype: Any, name: str, *args: Any) -> Scalar:
    """Calls a CUDA function that only computes its value: the call may be repeated, moved, or left out.

    Else as T.call_extern: `y = T.call_pure_extern("float32", "twice", x)`.
    """
    begin("T.call_pure_extern")
    return _call("T.call_pure_extern", dtype, name, args, pure=True)


def _call(word: str, dtype: Any, name: Any, args: tuple[Any, ...], *, pure: bool) -> Scalar:
    if not isinstance(name, str) or not name.replace("::", "_").isidentifier():
        raise fail("TD0226", word=word, name="name", value=describe(name), allowed="the name of a function")
    values = [address_of(a) if isinstance(a, (Tensor, Slice)) else scalar(a) for a in args]
    frame, reads = dependencies(values)
    result = dtype_named(dtype)
    return Scalar(Extern(name, tuple(expr_of(v) for v in values), result, pure), result, frame, reads)


def address_of(element: Any) -> Scalar:
    """A pointer to an element of a tensor, or to the first of a part, for calls of the user's own functions.

    `p = T.address_of(Y[i])`. TD0235 for a variable, which has no memory.
    """
    begin("T.address_of")
    if isinstance(element, Variable):
        raise fail("TD0235", word="T.address_of", parameter="element", value=describe(element))
    tile = tile_of(element, "T.address_of", "element")
    return Scalar(Address(tile.buffer, tile.offsets), HANDLE, tile.tensor.frame)


_MODES = {"r": 1, "w": 2, "rw": 3, "wr": 3}


def access_ptr(element: Any, access_type: Any = "rw") -> Scalar:
    """T.address_of, with what the called function does there: "r" reads, "w" writes, "rw" both (or 1, 2, 3; TD0226).

    The compiler takes it for both: what it knows of a user's function is its name. `p = T.access_ptr(A[i, 0], "r")`.
    """
    if access_type not in _MODES and access_type not in _MODES.values():
        allowed = "'r', 'w' or 'rw', or 1, 2 or 3"
        raise fail("TD0226", word="T.access_ptr", name="access_type", value=describe(access_type), allowed=allowed)
    return address_of(element)


def tvm_access_ptr(ptype: Any, data: Any, offset: Any, extent: Any, rw_mask: Any = 3) -> Scalar:
    """A pointer to element `offset`, in row-major order, of a tensor: TVM's spelling of T.access_ptr.

    `ptype` is the tensor's dtype (TD0226 for another one), `extent` how many elements are meant, which changes nothing.
    Extents but the first are constants (TD0220); TD0235 for what is no tensor.
    `p = T.tvm_access_ptr("float16", A.data, i * 64, 64, 1)`.
    """
    word = "T.tvm_access_ptr"
    begin(word)
    if not isinstance(data, Tensor):
        raise fail("TD0235", word=word, parameter="data", value=describe(data))
    wanted = ptype.expr.value if isinstance(ptype, Scalar) and isinstance(ptype.expr, Const) else ptype
    if isinstance(wanted, str | DType | TypeWord) and dtype_named(wanted) is not data.buffer.dtype:
        raise fail("TD0226", word=word, name="ptype", value=str(wanted), allowed=str(data.buffer.dtype))
    rows = const_sizes(data.shape[1:], word) if data.ndim > 1 else ()
    place, number = [], scalar(offset)
    for extent_of_row in reversed(rows):
        place.append(number % extent_of_row)
        number = number // extent_of_row
    return access_ptr(data[(number, *reversed(place))], rw_mask)


_SUFFIXES = (".cu", ".cuh", ".cuda", ".cpp", ".cc", ".c")


def CUDASourceCodeKernel(
    *blocks: Any,
    threads: Any = None,
    source_code_or_path: Any = None,
    entry_name: str = "main_kernel",
    cluster_dims: Any = None,
    prelude: str | None = None,
    args: Sequence[Any] | None = None,
    shared_bytes: int = 0,
    reference: Callable[..., Any] | None = None,
) -> None:
    """Launches `entry_name`, a `__global__` function of a CUDA text or of a file with one, as a T.Kernel is launched.

    `T.CUDASourceCodeKernel(n // 128, threads=128, source_code_or_path=text, entry_name="add", args=[X, Y])`: `blocks`,
    `threads` and `cluster_dims` are those of T.Kernel, `shared_bytes` its dynamic shared memory. It is passed `args`:
    tensors, scalar parameters and sizes of T.dynamic; without them all parameters of the kernel in order, then its
    sizes. Numbers have their dtypes; a size is an int32, and a kernel of N parameters takes N arguments (TD0281).

    NVRTC compiles the text as it is. On the CPU `reference`, a Python function, stands for the whole launch: it is
    called once, with a NumPy array for each tensor, which it changes in place, and a number for each size; nothing of
    what it does is looked at. Without one the launch raises TileError TD0820 in NumPy and TD0822 on the CPU device,
    except for text written with the device API (`TDS_KERNEL(128) name(...) {...}`, `TDS_EXPORT(name)`, `tds::...`, as
    the emitted text is): that the CPU device runs, and checks, itself. TD0280 names the kernels of the text if there is
    no `entry_name`; TD0282: it is a template; TD0120 in a T.Kernel block.
    """
    tracer = tracer_of("T.CUDASourceCodeKernel")
    frame = Kernel(*blocks, threads=threads, prelude=prelude, cluster_dims=cluster_dims)
    if tracer.frame is not None:
        raise fail("TD0120")
    whole("T.CUDASourceCodeKernel", "shared_bytes", shared_bytes, allowed="a number of bytes")
    text, place = _text_of(source_code_or_path, entry_name)
    kernel = _kernel_of(text, entry_name)
    given = _arguments(tracer, kernel, args)
    source = _guarded(text, kernel, place)
    if source not in tracer.source:
        tracer.source.append(source)
    if reference is not None and not callable(reference):
        raise _wrong("reference", reference, "a Python function")
    if reference is not None:
        tracer.references[entry_name] = Reference(entry_name, reference)
    call = Evaluate(Extern(entry_name, tuple(map(_as_argument, given)), HANDLE), span=frame.span)
    numbers = tuple(Var(f"b{axis}", INDEX) for axis in "xyz"[: len(frame.grid)])
    launch = Launch(
        tracer.name, frame.grid, numbers, frame.threads, Var("thread", INDEX), (call,), cluster=frame.cluster,
        shared_bytes=shared_bytes, entry=entry_name, span=frame.span,
    )  # fmt: skip
    tracer.launches.append(launch)


def _wrong(name: str, value: Any, allowed: str) -> Exception:
    return wrong("T.CUDASourceCodeKernel", name, describe(value), allowed)


def _text_of(source: Any, entry: str) -> tuple[str, str]:
    """A CUDA text, and its place for messages. What names a file is read from there."""
    if isinstance(source, os.PathLike) or (isinstance(source, str) and "\n" not in source and Path(source).is_file()):
        path = Path(source)
        if not path.is_file():
            raise _wrong("source_code_or_path", str(path), "a file that exists, or CUDA text")
        return path.read_text(), str(path)
    if not isinstance(source, str) or (source.endswith(_SUFFIXES) and "(" not in source):
        raise _wrong("source_code_or_path", source, "a file that exists, or CUDA text")
    return source, f"{entry} (source)"


def _kernel_of(text: str, entry: str) -> Declared:
    """The kernel of that name. Raises TileError TD0280 where there is none, TD0282 for a template."""
    kernels = declared(text)
    if entry not in kernels:
        raise fail("TD0280", name=entry, known=", ".join(kernels) or "none")
    if kernels[entry].is_template:
        raise fail("TD0282", name=entry)
    return kernels[entry]


def _arguments(tracer: Tracer, kernel: Declared, args: Sequence[Any] | None) -> tuple[Param, ...]:
    """What is passed to the kernel. Raises TileError TD0281 for another number of arguments than it takes."""
    if args is None:
        params = tuple(tracer.params.values())
        given = (*params, *dynamic_sizes([p for p in params if isinstance(p, Buffer)]))
    else:
        given = tuple(map(_argument, args))
    if len(given) != len(kernel.parameters):
        takes, passes = ", ".join(kernel.parameters) or "nothing", ", ".join(p.name for p in given) or "nothing"
        raise fail("TD0281", name=kernel.name, takes=takes, passes=passes)
    return given


def _argument(value: Any) -> Param:
    match value:
        case Tensor():
            return value.buffer
        case Scalar(expr=Var() as var):
            return var
    raise _wrong("args", value, "tensors, scalar parameters and sizes of the call")


def _as_argument(p: Param) -> Expr:
    return p if isinstance(p, Var) else Address(p, tuple(Const(0, INDEX) for _ in p.shape))


def _guarded(text: str, kernel: Declared, place: str) -> str:
    """The text for the kernel's source: what is not written with the device API is for NVRTC alone."""
    if kernel.portable:
        return text
    if not kernel.is_extern_c:
        text = f'{text[: kernel.at]}extern "C" {text[kernel.at :]}'  # its name is then that of the function
    return f'#ifdef __CUDACC__\n#line 1 "{place}"\n{text.rstrip()}\n#endif'
