"""Every user-facing error, one row each: code, message, hint, and what `tiledsl explain` says about it.

Messages name the two facts that collide; hints say what to do. Ranges: TD00 internal, TD01 Python source and
tracing, TD02 shapes and dtypes, TD03 layouts, TD04 pipelines, TD05 memory, TD06 arguments and launch, TD07 IR text and
command line, TD08 execution on the CPU (races, bounds, asynchronous copies), TD09 environment.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """`message` and `hint` are format strings over the facts given to `errors.error`."""

    message: str
    hint: str = ""
    explanation: str = ""


CATALOGUE: dict[str, Entry] = {
    # ---- TD00: bugs in tiledsl
    "TD0001": Entry(
        "internal check failed: {reason}",
        explanation="A pass of the compiler produced IR that breaks an invariant. This is a bug in tiledsl, "
        "never in your kernel; the message names the pass and holds the IR before it.",
    ),
    # ---- TD01: Python source and tracing
    # ---- TD02: shapes and dtypes
    # ---- TD03: layouts
    # ---- TD04: pipelines
    # ---- TD05: memory
    # ---- TD06: arguments and launch
    # ---- TD07: IR text and command line
    # ---- TD08: execution on the CPU
    # ---- TD09: environment
    "TD0901": Entry(
        "unknown target '{name}'",
        "choose one of {known}",
        "Targets are named as the CUDA compiler names them, for example sm_80 or sm_90a.",
    ),
}
