"""A failure as a directory: programs before and after, inputs, and the command that shows it again."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from tiledsl.cpu.arrays import strided
from tiledsl.errors import error
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.printer import text
from tiledsl.settings import setting

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Bundle:
    """What failed and all that it takes to see it again.

    `what` is a pass, "emit", or the law that does not hold; `message` says how. `before` and `after` are IR, or text as
    it is (`after` of "emit" is CUDA text, that of a law that has one program is None). `inputs` are arrays and
    scalars by name, `facts` plain data that json can hold: options, modes, the seed; `command`, if it is among them, is
    what shows the failure again in place of `tiledsl repro`.
    """

    what: str
    message: str
    before: Kernel | str
    after: Kernel | str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    target: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def write_bundle(bundle: Bundle, directory: Path | str | None = None) -> Path:
    """Writes `bundle` to a new directory inside `directory` (default: TILEDSL_REPRO) and returns its path.

    It holds before.tir, after.tir or after.cu, inputs.npz, meta.json, and README.md with the commands.
    Raises TileError TD0715 where it cannot be written.
    """
    base = Path(directory or setting("TILEDSL_REPRO"))
    name = re.sub(r"\W+", "-", f"{_name(bundle)}-{bundle.what}").strip("-")
    try:
        path = _new_directory(base, name)
        (path / "before.tir").write_text(_text(bundle.before), encoding="utf-8")
        if bundle.after is not None:
            (path / _after_name(bundle)).write_text(_text(bundle.after), encoding="utf-8")
        arrays = {n: np.asarray(a) for n, a in bundle.inputs.items()}
        np.savez_compressed(path / "inputs.npz", allow_pickle=False, **{n: _bytes(a) for n, a in arrays.items()})
        meta = {
            **{"what": bundle.what, "message": bundle.message, "target": bundle.target},
            "inputs": {n: _described(a) for n, a in arrays.items()},
            **{"facts": dict(bundle.facts), "command": sys.argv},
        }
        (path / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
        (path / "README.md").write_text(_readme(bundle, path), encoding="utf-8")
    except OSError as problem:
        raise error("TD0715", path=base, problem=problem.strerror) from None
    return path


def read_bundle(path: Path | str) -> Bundle:
    """What `write_bundle` wrote; the programs as text. Raises TileError TD0710 where there is none."""
    path = Path(path)
    try:
        meta = json.loads((path / "meta.json").read_text(encoding="utf-8"))
        before = (path / "before.tir").read_text(encoding="utf-8")
        after = next((p.read_text(encoding="utf-8") for p in map(path.joinpath, _AFTER) if p.exists()), None)
        with np.load(path / "inputs.npz", allow_pickle=False) as archive:
            inputs = {n: _restored(archive[n], about) for n, about in meta["inputs"].items()}
    except (OSError, ValueError, KeyError) as problem:
        raise error("TD0710", path=path, problem=getattr(problem, "strerror", None) or problem) from None
    return Bundle(meta["what"], meta["message"], before, after, inputs, meta["target"], meta["facts"])


_AFTER = ("after.tir", "after.cu")


def _after_name(bundle: Bundle) -> str:
    return _AFTER[isinstance(bundle.after, str) and bundle.what == "emit"]


def _text(program: Kernel | str) -> str:
    return program if isinstance(program, str) else text(program)


def _name(bundle: Bundle) -> str:
    if isinstance(bundle.before, Kernel):
        return bundle.before.name
    found = re.search(r"^kernel\s+@?(\w+)", bundle.before, re.MULTILINE)
    return found[1] if found else "kernel"


def _new_directory(base: Path, name: str) -> Path:
    base.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        path = base / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise AssertionError("count() ends never")


def _readme(bundle: Bundle, path: Path) -> str:
    lines = [f"# {_name(bundle)}: {bundle.what}", "", bundle.message.rstrip(), ""]
    lines += ["See it again:", "", f"    {bundle.facts.get('command') or f'python -m tiledsl repro {path}'}", ""]
    if isinstance(bundle.after, str) and bundle.what == "emit":
        return "\n".join([*lines, "`before.tir` is the last IR, `after.cu` what was emitted for it.", ""])
    if bundle.after is not None:
        how = f" --target {bundle.target}" if bundle.target else ""
        lines += [f"The pass alone: `python -m tiledsl opt {path}/before.tir -p {bundle.what}{how}`", ""]
    return "\n".join(lines)


# -------------------------------------------------------------------------------------------- arrays of any dtype


def _bytes(array: Array) -> Array:
    """Row-major, as integers of the same size: npz knows none of the small floats."""
    return np.ascontiguousarray(array).reshape(array.shape).view(f"u{array.dtype.itemsize}")


def _described(array: Array) -> dict[str, Any]:
    strides = [s // array.itemsize for s in array.strides]
    return {"dtype": array.dtype.name, "strides": None if array.flags.c_contiguous else strides}


def _restored(raw: Array, about: Mapping[str, Any]) -> Any:
    """The array with its dtype and strides; a scalar where it has no axes."""
    name = about["dtype"]
    found: Array = raw.view(np.dtype(getattr(ml_dtypes, name) if hasattr(ml_dtypes, name) else name))
    if found.ndim == 0:
        return found.item()
    return found if about["strides"] is None else strided(found, tuple(about["strides"]))
