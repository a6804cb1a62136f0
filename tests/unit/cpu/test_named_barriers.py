"""Named barriers at which some threads arrive and go on: both NumPy executions and the checked CPU device.

Two warpgroups hand numbers to each other, as warpgroups of one role and as two roles. Then one thing is wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tiledsl.codegen.cuda import emit
from tiledsl.cpu import interp, tile_interp
from tiledsl.cpu.turns import ORDERS
from tiledsl.errors import TileError
from tiledsl.ir.parser import parse
from tiledsl.passes.pipeline import PASSES
from tiledsl.target import target_named
from tiledsl.validation.emitted import execute_source
from tiledsl.validation.inputs import Inputs

ROLE = """\
kernel k(out: global int32[256]) {
  launch k(b in 1) threads(t in 256) {
    alloc S: shared int32[128]
    roles {
      role both(first=0, threads=256) q {
        let w = warp_uniform(q // 128)
        if w == 1 {
          named_arrive(count=256) 3
        }
        for i in 3 {
          named_sync(count=256) 3 + w
          if w == 0 {
            S[q] = cast<int32>(q + i)
          } else {
            out[q] = S[q - 128] * 2
          }
          named_arrive(count=256) 4 - w
        }
        if w == 0 {
          named_sync(count=256) 3
          out[q] = S[q]
        }
        barrier(id=1, count=256)
      }
    }
  }
}
"""
ROLES = """\
kernel k(out: global int32[256]) {
  launch k(b in 1) threads(t in 256) {
    alloc S: shared int32[128]
    roles {
      role writer(first=0, threads=128) q {
        for i in 3 {
          S[q] = cast<int32>(q + i)
          named_arrive(count=256) 3
          named_sync(count=256) 4
        }
        out[q] = S[q]
      }
      role reader(first=128, threads=128) p {
        for j in 3 {
          barrier(id=3, count=256)
          out[p + 128] = S[p] * 2
          named_arrive(count=256) 4
        }
      }
    }
  }
}
"""
EXPECTED = np.concatenate([np.arange(128) + 2, 2 * (np.arange(128) + 2)]).astype(np.int32)
# What is changed, and what the executions may say. A GPU would hang, or go wrong.
ROLE_FAULTS = {
    "the first turn is not given": ("named_arrive(count=256) 3\n", "", {"TD0830"}),
    "nobody takes the last turn": ("named_sync(count=256) 3\n", "", {"TD0836"}),
    "no wait": ("named_sync(count=256) 3 + w\n", "", {"TD0835", "TD0804", "TD0803"}),
    "no arrival": ("named_arrive(count=256) 4 - w\n", "", {"TD0830"}),
    "an arrival at one's own": ("named_arrive(count=256) 4 - w", "named_arrive(count=256) 3 + w", {"TD0830", "TD0835"}),
    "a wait at the other's": ("named_sync(count=256) 3 + w", "named_sync(count=256) 4 - w", {"TD0835", "TD0830"}),
    "more threads": ("named_arrive(count=256) 4 - w", "named_arrive(count=384) 4 - w", {"TD0831", "TD0830"}),
    "fewer threads": (
        "named_sync(count=256) 3 + w",
        "named_sync(count=128) 3 + w",
        {"TD0831", "TD0835", "TD0804", "TD0803"},
    ),
    "a whole barrier of too many": ("barrier(id=1, count=256)", "barrier(id=1, count=288)", {"TD0830", "TD0807"}),
}
ROLES_FAULTS = {
    "no arrival": ("named_arrive(count=256) 3\n", "", {"TD0830"}),
    "no wait": ("named_sync(count=256) 4\n", "", {"TD0835", "TD0804", "TD0836"}),
    "another barrier": ("named_arrive(count=256) 4", "named_arrive(count=256) 5", {"TD0830", "TD0835"}),
}


def simt(text: str, roles: Any = "first") -> Any:
    out = np.full(256, -1, np.int32)
    interp.run(parse(text), {"out": out}, roles=roles)
    return out


def tiles(text: str, roles: Any = "first") -> Any:
    out = np.full(256, -1, np.int32)
    tile_interp.run(parse(text), {"out": out}, roles=roles)
    return out


def code(run: Any, text: str, **how: Any) -> str:
    try:
        return "" if (run(text, **how) == EXPECTED).all() else "wrong"
    except TileError as raised:
        return raised.code


@pytest.mark.parametrize("text", [ROLE, ROLES], ids=["one role", "two roles"])
@pytest.mark.parametrize("order", ORDERS)
def test_warpgroups_hand_over(text: str, order: str) -> None:
    assert code(simt, text, roles=order) == ""


@pytest.mark.parametrize("order", ORDERS)
def test_roles_hand_over_at_the_tile_stage(order: str) -> None:
    assert code(tiles, ROLES, roles=order) == ""
    assert code(tiles, ROLES.replace("named_arrive(count=256) 3\n", ""), roles=order) == "TD0830"
    assert code(tiles, ROLES.replace("named_sync(count=256) 4\n", ""), roles=order) in {"TD0835", "TD0836"}


def faults() -> list[Any]:
    every = [(ROLE, ROLE_FAULTS, "one role"), (ROLES, ROLES_FAULTS, "two roles")]
    return [pytest.param(t, *row, id=f"{where}: {name}") for t, rows, where in every for name, row in rows.items()]


@pytest.mark.parametrize(("text", "old", "new", "codes"), faults())
@pytest.mark.parametrize("order", ORDERS)
def test_what_is_wrong_is_reported(text: str, old: str, new: str, codes: set[str], order: str) -> None:
    assert text.count(old) >= 1
    assert code(simt, text.replace(old, new, 1), roles=order) in codes


@pytest.mark.cxx
@pytest.mark.parametrize(("text", "old", "new", "codes"), [(ROLE, "", "", {""}), (ROLES, "", "", {""}), *faults()])
def test_so_does_the_device(text: str, old: str, new: str, codes: set[str]) -> None:
    k = parse(text.replace(old, new, 1))
    for name in ("plan-shared-memory", "narrow-indices"):
        k = PASSES[name].bind(target_named("sm_90a"))(k)

    def device(_: str, seed: int) -> Any:
        return execute_source(
            emit(k), k, Inputs({"out": np.full(256, -1, np.int32)}, frozenset({"out"})), checked=True, seed=seed
        )["out"]

    assert {code(device, text, seed=seed) for seed in range(2)} <= codes
