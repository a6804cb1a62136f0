"""Kernels in the device API, written by hand: one small bug each, and the same kernel without it.

A kernel has the parameters `out`, `in` and `flag`, the index `t` of the thread and `b` of the block, and shared memory
at `s`: the tile "tile" of 2 stages of 64 floats. The first line of a body is line 1 of "kernel.py".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tiledsl.cpu.device import Module, compile_source
from tiledsl.cpu.findings import Finding

TILE = ("tile", 0, 512, 256, 4)
HEAD = """TDS_KERNEL({threads}) k(float* out, const float* in, int* flag) {{
const int t = tds::thread_index(), b = tds::block_x(); const tds::u32 s = tds::shared_base();
#line 1 "kernel.py"
"""


def compile_body(body: str, threads: int = 64, checked: bool = True) -> Module:
    text = HEAD.format(threads=threads) + body.strip("\n") + "\n}\nTDS_EXPORT(k)\n"
    return compile_source(text, ["k"], checked=checked)


@dataclass(frozen=True)
class Result:
    out: np.ndarray[Any, Any]
    flag: np.ndarray[Any, Any]
    findings: list[Finding]
    statistics: dict[str, int]

    @property
    def codes(self) -> set[str]:
        return {f.code for f in self.findings}


def run_body(body: str, threads: int = 64, blocks: int = 1, checked: bool = True, **how: Any) -> Result:
    out, flag = np.zeros(64 * 64, np.float32), np.zeros(64, np.int32)
    source = np.arange(64 * 64, dtype=np.float32)
    findings: list[Finding] = []
    statistics: dict[str, int] = {}
    given: dict[str, Any] = {"shared": [TILE], "findings": findings, "statistics": statistics} | how
    compile_body(body, threads, checked).launch("k", (blocks,), threads, 1024, [out, source, flag], **given)
    return Result(out, flag, findings, statistics)


@dataclass(frozen=True)
class Bug:
    """`body` with `wrong` in the place of $ has the finding `code` between `lines`; with `right` there is none."""

    name: str
    body: str
    right: str
    wrong: str
    code: str
    lines: tuple[int, ...]
    blocks: int = 1
    buffer: str | None = "tile"

    def __str__(self) -> str:
        return self.name


def lines(*of: str) -> str:
    return "\n".join(of)


_STORE = "tds::store_shared<float>(s + 4 * t, 1.0f);"
_READ = "tds::store(out + t, tds::load_shared<float>(s + 4 * (t ^ 32)));"
_COPY = "tds::cp_async_4(s + 4 * t, in + t, true); tds::cp_async_commit();"
_WAIT = "tds::cp_async_wait<0>();"
_BARRIER = "tds::barrier();"
_FENCE = "tds::fence();"
_SECOND = "tds::store_shared<float>(s + 256 + 4 * t, 1.0f);"
_PUBLISH = "if (b == 0) tds::store(out + t, 1.0f); tds::barrier();"
_SIGNAL = "if (b == 0 && t == 0) { tds::fence(); tds::atomic_store(flag, 1); }"
_AWAIT = "if (b == 1) { while (!tds::atomic_load(flag)) {} tds::fence(); tds::load(out + (t ^ 5)); }"
_LAST = lines(
    "tds::store(out + 64 * b + t, 1.0f); tds::barrier();",
    "if (t == 0) { tds::fence(); tds::store_shared<int>(s, tds::atomic_add(flag, 1) == 3); tds::fence(); }",
    "tds::barrier(); float sum = 0;",
    "if (tds::load_shared<int>(s)) for (int i = 0; i < 4; ++i) sum += tds::load(out + 64 * i + t);",
    "if (tds::load_shared<int>(s)) tds::store(out + 256 + t, sum);",
    "if (b == 2) { $ }",
)

BUGS = (
    Bug("write-read", lines(_STORE, "$", _READ), _BARRIER, "", "TD0804", (3, 1)),
    Bug("read-write", lines(_STORE, _BARRIER, _READ, "$", _STORE), _BARRIER, "", "TD0804", (3, 5)),
    Bug("write-write", "tds::store_shared<float>(s + 4 * ($), 1.0f);", "t", "t & 31", "TD0804", (1, 1)),
    Bug(
        "shuffles-order-nothing",
        lines(_STORE, "$", "tds::load_shared<float>(s + 4 * (t ^ 1));"),
        *("tds::warp_sync(~0u);", "tds::shfl_xor(t, 1);", "TD0804", (3, 1)),
    ),
    Bug(
        "copy-not-waited-for",
        lines(_COPY, "$", "tds::load_shared<float>(s + 4 * t);", _WAIT),
        *(_WAIT, "", "TD0805", (3, 1)),
    ),
    Bug("copy-barrier-only", lines(_COPY, "$", _BARRIER, _READ, _WAIT), _WAIT, "", "TD0805", (4, 1)),
    Bug("copy-wait-only", lines(_COPY, _WAIT, "$", _READ), _BARRIER, "", "TD0804", (4, 1)),
    Bug(
        "copy-weak-wait",
        lines(_COPY, "tds::cp_async_wait<$>();", _BARRIER, _READ, _WAIT),
        *("0", "1", "TD0805", (4, 1)),
    ),
    Bug("copy-over-readers", lines(_STORE, _BARRIER, _READ, "$", _COPY, _WAIT), _BARRIER, "", "TD0804", (3, 5)),
    Bug("copy-at-exit", lines(_COPY, "$"), _WAIT, "", "TD0808", (1,)),
    Bug("unwritten", lines("$", _BARRIER, _READ), _STORE, "if (t) " + _STORE, "TD0803", (3,)),
    Bug(
        "named-barriers",
        lines(_STORE, "$", _READ),
        *("tds::barrier_named(1, 64);", "tds::barrier_named(1 + (t >> 5), 32);", "TD0804", (3, 1)),
    ),
    Bug(
        "ldmatrix",
        lines(_STORE, _SECOND, "$", "float r[4]; tds::ldmatrix_x4(r, s + 16 * (t & 31));"),
        *(_BARRIER, "", "TD0804", (4, 1)),
    ),
    Bug(
        "second-stage",
        lines(_SECOND, "$", "tds::load_shared<float>(s + 256 + 4 * (t ^ 32));"),
        *(_BARRIER, "", "TD0804", (3, 1)),
    ),
    Bug(
        "global",
        lines("tds::store(out + t, 1.0f);", "$", "tds::load(out + (t ^ 32));"),
        *(_BARRIER, "", "TD0804", (3, 1)),
        buffer="out",
    ),
    Bug(
        "global-vectors",
        lines("float r[4] = {}; tds::store_vector<16>(out + 4 * t, r);", "$", "tds::load(out + 4 * (t ^ 32) + 2);"),
        *(_BARRIER, "", "TD0804", (3, 1)),
        buffer="out",
    ),
    Bug("blocks", "if (t == 0) tds::store(out + $, 1.0f);", "b", "0", "TD0814", (1, 1), 3, "out"),
    Bug(
        "blocks-read",
        lines("tds::store(out + 64 * b + t, 1.0f);", "tds::load(out + 64 * $ + t);"),
        *("b", "(b ^ 1)", "TD0814", (2, 1), 2, "out"),
    ),
    Bug(
        "blocks-atomics",
        lines("if (b) tds::atomic_add(flag, 1);", "$"),
        *("if (!b) tds::atomic_add(flag, 1);", "if (b + t == 0) tds::store(flag, 1);", "TD0814", (1, 2), 2, "flag"),
    ),
    Bug(
        "atomic-read",
        lines("tds::atomic_add(flag, 1);", "$", "tds::load(flag);"),
        *(_BARRIER, "", "TD0804", (3, 1)),
        buffer="flag",
    ),
    Bug(
        "shared-atomic",
        lines(
            _STORE,
            _BARRIER,
            "tds::atomic_add(tds::shared_pointer<float>(s), 1.0f);",
            "$",
            "tds::load_shared<float>(s);",
        ),
        *(_BARRIER, "", "TD0804", (5, 3)),
    ),
    Bug(
        "flag-without-release",
        lines(_PUBLISH, "if (b == 0 && t == 0) { $ tds::atomic_store(flag, 1); }", _AWAIT),
        *(_FENCE, "", "TD0804", (3, 1), 2, "out"),
    ),
    Bug(
        "flag-without-acquire",
        lines(_PUBLISH, _SIGNAL, _AWAIT.replace(_FENCE, "$")),
        *(_FENCE, "", "TD0804", (3, 1), 2, "out"),
    ),
    Bug("last-block", _LAST, "", "tds::store(out + 128 + t, 2.0f);", "TD0804", (4, 6), 4, "out"),
    Bug(
        "two-barriers-on-a-line",
        "$",
        *(_BARRIER, "if (t < 32) tds::barrier(); else tds::barrier();", "TD0831", (1, 1)),
        buffer=None,
    ),
    Bug(
        "two-votes-on-a-line",
        "$",
        *("tds::warp_any(1);", "if (t & 1) tds::warp_any(1); else tds::warp_any(1);", "TD0811", (1, 1)),
        buffer=None,
    ),
)
