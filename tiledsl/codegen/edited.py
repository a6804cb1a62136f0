"""Kernel text that a user has edited, in the place of what the emitter wrote."""

from __future__ import annotations

import re
from dataclasses import replace

from tiledsl.codegen.device_api import device_functions
from tiledsl.codegen.source import Source
from tiledsl.errors import error

_KERNEL = re.compile(r"^TDS_KERNEL\(\s*([^,)]*)[^)]*\)\s*(\w+)\s*\(([^)]*)\)", re.MULTILINE)
_DEVICE_API = "#define TDS_KERNEL"


def with_text(source: Source, text: str) -> Source:
    """`source` with `text` for its kernel text, which is called as before.

    `text` is an edited `source.text`, or that with the device functions above it, which must then be untouched: on the
    CPU others take their place. Further functions of the device API may be used, and further helpers defined.
    Raises TileError TD0630 where a kernel is gone, TD0631 where its parameters or its number of threads have changed,
    TD0632 where the device functions have.
    """
    if _DEVICE_API in text:
        above = device_functions(source.functions) + "\n"
        if not text.startswith(above):
            raise error("TD0632")
        text = text[len(above) :]
    before, after = _declared(source.text), _declared(text)
    for entry in (e for e in source.entries if not e.users):
        if entry.name not in after or not re.search(rf"^TDS_EXPORT\({entry.name}\)", text, re.MULTILINE):
            raise error("TD0630", name=entry.name, known=", ".join(after) or "none")
        if after[entry.name] != before[entry.name]:
            raise error("TD0631", name=entry.name, given=after[entry.name], expected=before[entry.name])
    functions = tuple(sorted(set(re.findall(r"\btds::(\w+)", text))))
    entries = (replace(e, places=(), dependent=_waits_for_the_stream(text, e.name)) for e in source.entries)
    return Source(text, functions, tuple(entries))


def _waits_for_the_stream(text: str, name: str) -> bool:
    """Whether the kernel waits by itself for the kernel before it: then it may be launched while that one runs."""
    body = re.search(rf"^TDS_KERNEL\([^)]*\)\s*{name}\s*\(.*?^TDS_EXPORT\({name}\)", text, re.MULTILINE | re.DOTALL)
    return body is not None and "tds::grid_wait()" in body[0]


def _declared(text: str) -> dict[str, str]:
    """Each kernel with its number of threads and its parameters."""
    return {name: f"{threads} threads, ({' '.join(said.split())})" for threads, name, said in _KERNEL.findall(text)}
