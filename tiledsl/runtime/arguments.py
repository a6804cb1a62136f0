"""From what the user passes (torch, CuPy, NumPy, DLPack, numbers) to pointers, checked against the signature."""

from __future__ import annotations

import ctypes
import math
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

from tiledsl.errors import error
from tiledsl.runtime.maps import check_maps
from tiledsl.runtime.signature import Parameter, ScalarParameter, Signature, TensorParameter, evaluate, show

_FORMATS = {
    **{"int8": "b", "int16": "h", "int32": "i", "int64": "q", "index": "q"},
    **{"uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q", "handle": "Q"},
    **{"bool": "?", "float16": "e", "float32": "f", "float64": "d"},
}
# Spellings of other libraries for the same bits.
_SAME_BITS = {"tfloat32": "float32", "float8_e4m3": "float8_e4m3fn"}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy (or ml_dtypes) dtype of that name, tfloat32 being float32 in memory."""
    name = _SAME_BITS.get(name, name)
    return np.dtype(getattr(ml_dtypes, name)) if hasattr(ml_dtypes, name) else np.dtype(name)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A view of the caller's memory. `strides` in elements; `device` is cpu or cuda:N; `owner` keeps it alive."""

    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    device: str
    owner: Any = field(repr=False)
    writable: bool = True


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides in elements."""
    out: list[int] = []
    step = 1
    for extent in reversed(shape):
        out.append(step)
        step *= extent
    return tuple(reversed(out))


def as_tensor(value: Any) -> Tensor | None:
    """`value` as a tensor, or None if it is not one.

    Tried in this order: `data_ptr()` (torch), `__cuda_array_interface__`, NumPy, `__dlpack__`.
    """
    if hasattr(value, "data_ptr") and hasattr(value, "stride"):
        dtype = str(value.dtype).removeprefix("torch.")
        device = str(value.device)
        device = "cuda:0" if device == "cuda" else device
        try:
            return Tensor(value.data_ptr(), tuple(value.shape), tuple(value.stride()), dtype, device, value)
        except RuntimeError:  # torch's word for a tensor that is not one block of memory: sparse, fake
            return None
    if isinstance(value, np.ndarray):
        return _from_array(value, value.ctypes.data, "cpu")
    if hasattr(value, "__cuda_array_interface__"):
        about = value.__cuda_array_interface__
        dtype = np.dtype(about["typestr"])
        shape = tuple(about["shape"])
        strides = about.get("strides")
        steps = tuple(s // dtype.itemsize for s in strides) if strides else contiguous_strides(shape)
        number = getattr(getattr(value, "device", None), "id", 0)
        pointer, read_only = about["data"]
        return Tensor(pointer, shape, steps, _name(dtype), f"cuda:{number}", value, not read_only)
    if hasattr(value, "__dlpack__"):
        kind, number = value.__dlpack_device__()
        if int(kind) == 1:
            array = np.from_dlpack(value)
            return _from_array(array, array.ctypes.data, "cpu")
        # Loads the driver, so only where a GPU tensor proves that there is one.
        from cuda.core.utils import StridedMemoryView

        view = StridedMemoryView.from_dlpack(value, stream_ptr=-1)
        shape = tuple(view.shape)
        steps = view.strides or contiguous_strides(shape)
        return Tensor(view.ptr, shape, steps, view.dtype.name, f"cuda:{number}", value)
    return None


def _from_array(array: np.ndarray[Any, Any], pointer: int, device: str) -> Tensor:
    steps = tuple(s // array.itemsize for s in array.strides)
    return Tensor(pointer, array.shape, steps, _name(array.dtype), device, array, array.flags.writeable)


def _name(dtype: np.dtype[Any]) -> str:
    """NumPy's name, or its code where the bytes are in the other order, for which there is no name."""
    return dtype.name if dtype.isnative else dtype.str


def span_bytes(tensor: Tensor) -> int:
    """From the first byte of the tensor to its last, gaps between elements included."""
    if not all(tensor.shape):
        return 0
    return (1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides))) * numpy_dtype(tensor.dtype).itemsize


def as_array(tensor: Tensor) -> np.ndarray[Any, Any]:
    """A NumPy view of CPU memory, whatever library owns it."""
    if isinstance(tensor.owner, np.ndarray):
        return tensor.owner
    dtype = numpy_dtype(tensor.dtype)
    span = span_bytes(tensor)
    if not span:
        return np.empty(tensor.shape, dtype)
    raw = (ctypes.c_char * span).from_address(tensor.pointer)
    flat = np.frombuffer(memoryview(raw), dtype=dtype)
    return np.lib.stride_tricks.as_strided(flat, tensor.shape, tuple(s * dtype.itemsize for s in tensor.strides))


@dataclass(frozen=True, slots=True)
class Bound:
    """One call's arguments by name. `results` are those the host allocated, in the order they are returned."""

    tensors: Mapping[str, Tensor]
    scalars: Mapping[str, int | float | bool]
    sizes: Mapping[str, int]
    device: str
    results: tuple[str, ...]

    def numbers(self) -> dict[str, int]:
        """What size expressions may mention: sizes and integer scalars."""
        return {**{n: v for n, v in self.scalars.items() if isinstance(v, int)}, **self.sizes}


def bind(signature: Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Bound:
    """Match a call with the signature, bind the sizes, allocate the results.

    Raises TileError TD06xx, naming the parameter, for a wrong count, dtype, rank, extent, stride, alignment or device,
    and for a tensor that the copy engine should move and cannot.
    """
    given = _by_name(signature, args, kwargs)
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, int | float | bool] = {}
    for p in signature.parameters:
        if isinstance(p, ScalarParameter):
            scalars[p.name] = _scalar(p, given[p.name])
        elif p.name in given:
            tensors[p.name] = _tensor(p, given[p.name])
            if p.written and not tensors[p.name].writable:
                raise error("TD0626", name=p.name, kernel=signature.name)
    device = _one_device(tensors)
    sizes = _sizes(signature, tensors, scalars)
    numbers = {**{n: v for n, v in scalars.items() if isinstance(v, int)}, **sizes}
    for p in signature.parameters:
        if isinstance(p, TensorParameter) and p.name in tensors:
            if p.pointer:
                tensors[p.name] = _pointed_to(p, tensors[p.name], numbers)
            else:
                _check_extents(p, tensors[p.name], numbers)
    check_maps(signature, numbers)
    results: list[tuple[int, str]] = []
    like = next(iter(tensors.values()), None)
    for p in signature.parameters:
        if isinstance(p, TensorParameter) and p.name not in tensors:
            tensors[p.name] = allocate(p, tuple(evaluate(e, numbers) for e in p.shape), device, like)
            results.append((p.result or 0, p.name))
    return Bound(tensors, scalars, sizes, device, tuple(name for _, name in sorted(results)))


def _is_result(p: Parameter) -> bool:
    return isinstance(p, TensorParameter) and p.result is not None


def _by_name(signature: Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    every = [p.name for p in signature.parameters]
    wanted = [p.name for p in signature.parameters if not _is_result(p)]
    # Results may be passed as well, to be written in place: then every parameter is given.
    names = every if len(args) + len(kwargs) == len(every) else wanted
    if len(args) > len(names):
        raise error("TD0601", kernel=signature.name, expected=", ".join(names), given=len(args) + len(kwargs))
    out = dict(zip(names, args))
    for name, value in kwargs.items():
        if name not in every or name in out:
            raise error("TD0602", kernel=signature.name, name=name, expected=", ".join(names))
        out[name] = value
    missing = [n for n in wanted if n not in out]
    if missing:
        raise error("TD0603", kernel=signature.name, missing=", ".join(missing))
    return out


def _scalar(p: ScalarParameter, value: Any) -> int | float | bool:
    if isinstance(value, (bool, np.bool_)) or p.dtype == "bool":
        return bool(value)
    integral = isinstance(value, (int, np.integer))
    try:
        if integral and p.dtype.startswith(("int", "uint", "index")):
            struct.pack(_FORMATS[p.dtype], int(value))
            return int(value)
        if "float" in p.dtype and (integral or isinstance(value, (float, np.floating))):
            number = float(value)
            if math.isfinite(number) and abs(number) > _largest(p.dtype):
                raise OverflowError
            return number
    except (struct.error, OverflowError):
        raise error("TD0604", name=p.name, dtype=p.dtype, value=value) from None
    raise error("TD0605", name=p.name, dtype=p.dtype, given=type(value).__name__)


@cache
def _largest(dtype: str) -> float:
    """The largest finite value of a float dtype."""
    return float(ml_dtypes.finfo(numpy_dtype(dtype)).max)


def _tensor(p: TensorParameter, value: Any) -> Tensor:
    t = as_tensor(value)
    if t is None:
        raise error("TD0606", name=p.name, given=type(value).__name__)
    wanted = numpy_dtype(p.dtype).name
    if t.dtype != wanted and _SAME_BITS.get(t.dtype, t.dtype) != wanted:
        raise error("TD0607", name=p.name, expected=wanted, given=t.dtype)
    if len(t.shape) != len(p.shape) and not p.pointer:
        shape = "(" + ", ".join(show(e) for e in p.shape) + ")"
        raise error("TD0608", name=p.name, rank=len(p.shape), expected=shape, given=tuple(t.shape))
    if t.pointer % 16:
        raise error("TD0609", name=p.name, pointer=hex(t.pointer))
    return t


def _one_device(tensors: Mapping[str, Tensor]) -> str:
    first: tuple[str, Tensor] | None = None
    for name, t in tensors.items():
        if t.device != "cpu" and not t.device.startswith("cuda"):
            raise error("TD0629", name=name, device=t.device)
        if first and t.device != first[1].device:
            raise error("TD0610", name=name, device=t.device, other=first[0], other_device=first[1].device)
        first = first or (name, t)
    return first[1].device if first else "cpu"


def _sizes(
    signature: Signature, tensors: Mapping[str, Tensor], scalars: Mapping[str, int | float | bool]
) -> dict[str, int]:
    names = {s.name for s in signature.sizes}
    sizes: dict[str, int] = {}
    for p in signature.parameters:
        if not isinstance(p, TensorParameter) or p.name not in tensors or p.pointer:
            continue
        exprs = [*p.shape, *(p.strides or ())]
        values = [*tensors[p.name].shape, *(tensors[p.name].strides if p.strides else ())]
        for e, extent in zip(exprs, values):
            if isinstance(e, str) and e in names:
                sizes.setdefault(e, extent)
    for s in signature.sizes:
        if s.name not in sizes:
            raise error("TD0611", kernel=signature.name, name=s.name)
        _scalar(s, sizes[s.name])
    return sizes


def _check_extents(p: TensorParameter, t: Tensor, numbers: Mapping[str, int]) -> None:
    expected = tuple(evaluate(e, numbers) for e in p.shape)
    for axis, (e, want, have) in enumerate(zip(p.shape, expected, t.shape)):
        if want != have:
            named = f"{show(e)} = {want}" if not isinstance(e, int) else str(want)
            raise error("TD0612", name=p.name, axis=axis, expected=named, given=have, shape=t.shape)
    strides = tuple(evaluate(e, numbers) for e in p.strides) if p.strides else contiguous_strides(expected)
    for axis, (want, have) in enumerate(zip(strides, t.strides)):
        if want != have and expected[axis] > 1 and all(expected):
            raise error("TD0613", name=p.name, axis=axis, expected=want, given=have)


def _pointed_to(p: TensorParameter, t: Tensor, numbers: Mapping[str, int]) -> Tensor:
    """The memory of `t` as the tensor that the kernel makes of it. Raises TileError TD0636 if that is not enough."""
    shape = tuple(evaluate(e, numbers) for e in p.shape)
    strides = tuple(evaluate(e, numbers) for e in p.strides) if p.strides else contiguous_strides(shape)
    size = numpy_dtype(p.dtype).itemsize
    made = replace(t, shape=shape, strides=strides)
    have, need = (0 if any(s < 0 for s in x.strides) else span_bytes(x) // size for x in (t, made))
    if need > have or any(n < 0 for n in shape):
        raise error("TD0636", name=p.name, have=have, need=need, shape=shape, strides=strides)
    if not isinstance(t.owner, np.ndarray):
        return made
    in_bytes = tuple(s * size for s in strides)
    return replace(made, owner=np.lib.stride_tricks.as_strided(t.owner, shape, in_bytes, writeable=t.writable))


def allocate(p: TensorParameter, shape: tuple[int, ...], device: str, like: Tensor | None) -> Tensor:
    """An uninitialised tensor of the library that `like` comes from (torch or NumPy), on `device`."""
    torch = sys.modules.get("torch")
    if torch is not None and like is not None and isinstance(like.owner, torch.Tensor):
        made = torch.empty(shape, dtype=getattr(torch, p.dtype), device=device)
    elif device == "cpu":
        made = np.empty(shape, numpy_dtype(p.dtype))
    else:
        raise error("TD0614", name=p.name, device=device)
    tensor = as_tensor(made)
    assert tensor is not None
    return tensor


def pack(dtype: str, value: int | float | bool) -> int:
    """The bits of a scalar argument, in the low bytes of 64."""
    if dtype not in _FORMATS:  # the floats that only ml_dtypes knows
        return int.from_bytes(np.array(value, numpy_dtype(dtype)).tobytes(), "little")
    return int.from_bytes(struct.pack("<" + _FORMATS[dtype], value), "little")
