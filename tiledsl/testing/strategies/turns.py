"""Roles of two or three warpgroups that multiply and work on the sums, for ping-pong: nests of loops and conditions."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse

_HEAD = """\
kernel k(out: global float32[{threads}], n: int32, m: int32) {{
  launch k(b in 1) threads(t in {threads}) {{
    alloc A: shared float16[{size}]
    alloc B: shared float16[128]
    for i in {each} unrolled {{
      A[i * {threads} + t] = cast<float16>(t % 3 + i)
    }}
    B[t % 128] = cast<float16>(t % 2)
    fence(kind=async_proxy)
    barrier
    roles {{
      role all(first=0, threads={threads}) q {{
        alloc L: local float32[4]
        for r in 4 unrolled {{
          L[r] = 1.0
        }}
"""
_TAIL = """\
        async_wait(pending=0, queue=product)
        hold L
        out[q] = L[0] + L[1] * 3.0 + L[2] * 5.0 + L[3] * 7.0
      }
    }
  }
}
"""
_PRODUCT = (
    "hold L",
    "fence(kind=product)",
    "atom wgmma_m64n8k16_f32_f16_ss(&L[0], descriptor(A[q // 128 * 1024], 128, 256, 0), descriptor(B[0], 128, 128, 0), "
    "true, 0, 0)",
    "async_commit(queue=product)",
)
_EXTENTS = ("0", "1", "2", "3", "cast<index>(n)", "cast<index>(n) + 1")
_CONDITIONS = ("n < m", "m < 3", "true", "q < 128", "q // 128 == 1")


@st.composite
def turn_kernels(draw: st.DrawFn) -> tuple[Kernel, dict[str, Any]]:
    """A kernel and its scalars. Sums are small integers, and waited for before they are worked on."""
    warpgroups = draw(st.sampled_from([2, 2, 3]))
    threads = 128 * warpgroups
    maker = _Maker(draw)
    head = _HEAD.format(threads=threads, size=1024 * warpgroups, each=8)
    source = head + "\n".join(maker.block(3)) + "\n" + _TAIL
    return parse(source), {name: draw(st.integers(0, 3)) for name in ("n", "m")}


class _Maker:
    def __init__(self, draw: st.DrawFn) -> None:
        self.draw, self.count = draw, 0

    def block(self, depth: int) -> list[str]:
        """The lines of one to four statements."""
        kinds = ["product", "product", "work", "wait", *["loop", "loop", "if", "round", "round"] * (depth > 0)]
        chosen = self.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4))
        return [line for kind in chosen for line in self.statement(kind, depth)]

    def statement(self, kind: str, depth: int) -> list[str]:
        waited = ["async_wait(pending=0, queue=product)", "hold L"]
        match kind:
            case "product":
                return list(_PRODUCT)
            case "wait":
                return waited
            case "work":
                return [*waited, *self.work()]
            case "round":
                products = list(_PRODUCT) * self.draw(st.integers(1, 2))
                extent = self.draw(st.sampled_from(_EXTENTS))
                return [f"for {self.name()} in {extent} {{", *products, *waited, *self.work(), "}"]
            case "loop":
                extent = self.draw(st.sampled_from(_EXTENTS))
                return [f"for {self.name()} in {extent} {{", *self.block(depth - 1), "}"]
        cond = self.draw(st.sampled_from(_CONDITIONS))
        other = ["} else {", *self.block(depth - 1), "}"] if self.draw(st.booleans()) else ["}"]
        return [f"if {cond} {{", *self.block(depth - 1), *other]

    def work(self) -> list[str]:
        r = self.name()
        return [f"for {r} in 4 unrolled {{", f"L[{r}] = L[{r}] * 0.5 + 1.0", "}"]

    def name(self) -> str:
        self.count += 1
        return f"x{self.count}"
