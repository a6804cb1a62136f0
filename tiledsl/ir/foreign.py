"""Launches of the user's own CUDA kernels: what their text declares, and what a launch passes to them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tiledsl.ir.dtypes import HANDLE
from tiledsl.ir.nodes import Address, Buffer, Cast, Const, Evaluate, Expr, Extern, Kernel, Launch, Param, Var
from tiledsl.ir.scopes import fail

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_HEAD = r"(?:__global__\b(?:[^;{}()]|\([^()]*\))*?|TDS_KERNEL\([^)]*\)\s*)"
_KERNEL = re.compile(rf"(?P<head>{_HEAD})\b(?P<name>\w+)\s*\((?P<parameters>[^)]*)\)\s*\{{")
_TEMPLATE = re.compile(r"\btemplate\s*<[^;{}]*>\s*$")
_EXTERN_C = re.compile(r'\bextern\s+"C"\s*$')


@dataclass(frozen=True, slots=True)
class Declared:
    """A kernel of a CUDA text. `at` is where `__global__` stands; `portable`: it is written with the device API."""

    name: str
    parameters: tuple[str, ...]
    at: int
    is_template: bool
    is_extern_c: bool
    portable: bool

    def writes(self, number: int) -> bool:
        """Whether it may write through its parameter `number`: a pointer to what is not const."""
        text = self.parameters[number]
        return "*" in text and re.search(r"\bconst\b", text.partition("*")[0]) is None


def declared(source: str) -> dict[str, Declared]:
    """The kernels that a CUDA text defines, by name, in its order."""
    text = _COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), source)
    found: dict[str, Declared] = {}
    for m in _KERNEL.finditer(text):
        before, name = text[: m.start()], m["name"]
        portable = m["head"].startswith("TDS_KERNEL") and f"TDS_EXPORT({name})" in text
        is_template, is_extern_c = (p.search(before) is not None for p in (_TEMPLATE, _EXTERN_C))
        found[name] = Declared(name, _split(m["parameters"]), m.start(), is_template, is_extern_c, portable)
    return found


def _split(parameters: str) -> tuple[str, ...]:
    """The declarations of a parameter list: commas within template arguments divide nothing."""
    parts, depth = [""], 0
    for letter in parameters:
        depth += (letter == "<") - (letter == ">")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return tuple(" ".join(p.split()) for p in parts if p.strip())


def passed(launch: Launch) -> tuple[Param, ...]:
    """The tensors, scalars and sizes that a launch of the user's kernel passes. Raises VerifyError for another body."""
    match launch.body:
        case (Evaluate(Extern(fn=name, args=args, dtype=dtype, pure=False)),) if (
            name == launch.entry and dtype is HANDLE
        ):
            return tuple(map(_passed, args))
    raise fail(f"the launch of '{launch.entry}' is not one call of it")


def require_call(kernel: Kernel, launch: Launch) -> None:
    """Raises VerifyError unless a launch with an `entry` passes parameters, sizes and scratch to it."""
    known = (*kernel.params, *kernel.sizes, *kernel.scratch)
    for p in passed(launch) if launch.entry else ():
        if p not in known:
            raise fail(f"the launch of '{launch.entry}' passes '{p.name}', which is not known on the host")


def _passed(e: Expr) -> Param:
    match e:
        case Var():
            return e
        case Cast(a=Var() as var):  # a size that was given a width
            return var
        case Address(Buffer() as buffer, indices) if all(isinstance(i, Const) and i.value == 0 for i in indices):
            return buffer
    raise fail("the launch of a kernel passes tensors, scalars and sizes of the call, nothing that is computed")
