"""T.ws blocks together: each thread executes what it executed before, and what can run together is one statement."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_thread import executed

from tiledsl.errors import TileError
from tiledsl.ir.concurrent import Role, Roles
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import statements
from tiledsl.language.gathering import gathered, roles


def gather(kernel: Kernel) -> Kernel:
    return replace(kernel, launches=tuple(map(gathered, kernel.launches)))


GROUPS = (0, 128, 256)  # the first threads of three warpgroups


def program_of(items: list[Any], loops: list[str], numbers: Iterator[int]) -> list[str]:
    """Lines of a program. A `ws` stores a number made of its loops to a tensor of its own, `all` does so for the block;
    `let` gives the number a name.
    """
    lines: list[str] = []
    number = " + ".join(f"{v} * {7**i}" for i, v in enumerate(loops)) or "0"
    for item in items:
        match item:
            case ("ws", first, count):
                n = next(numbers)
                lines += ["roles {", f"role r{first}(first={first * 128}, threads={count * 128}) t{n} {{"]
                lines += [f"T{n}[t{n}, {number}] = t{n} + {n} * ({number})", "}", "}"]
            case ("all",):
                lines += [f"T{next(numbers)}[0, {number}] = {number}"]
            case ("let",):
                n = next(numbers)
                lines += [f"let x{n} = {number} + {n}"]
                number = f"x{n}"
            case ("loop", extent, body):
                var = f"i{next(numbers)}"
                lines += [f"for {var} in {extent} {{", *program_of(body, [*loops, var], numbers), "}"]
            case ("if", bound, body, other):
                lines += [f"if {loops[-1] if loops else 'b'} < {bound} {{", *program_of(body, loops, numbers)]
                lines += ["} else {", *program_of(other, loops, numbers), "}"]
    return lines


def kernel_of(items: list[Any]) -> Kernel:
    numbers = itertools.count()
    body = program_of(items, [], numbers)
    tensors = ", ".join(f"T{i}: global index[400, 400]" for i in range(next(numbers)))
    return parse("\n".join([f"kernel k({tensors}) {{ launch k(b in 2) threads(t in 384) {{", *body, "} }"]))


WS = st.sampled_from([("ws", first, count) for first in range(3) for count in range(1, 4 - first)])
ITEMS = st.recursive(
    st.lists(st.one_of(WS, WS, st.sampled_from([("all",), ("let",)])), max_size=4),
    lambda inner: st.lists(
        st.one_of(
            WS,
            st.tuples(st.just("loop"), st.integers(0, 3), inner),
            st.tuples(st.just("if"), st.integers(0, 2), inner, inner),
        ),
        max_size=4,
    ),
    max_leaves=4,
)


def events(kernel: Kernel) -> list[list[tuple[Any, ...]]]:
    launch = kernel.launches[0]
    found = []
    for first, block in itertools.product(GROUPS, range(2)):
        env = {launch.blocks[0]: block, launch.thread: first + 5}
        found.append(list(executed(launch.body, first + 5, env)))
    return found


@given(ITEMS)
def test_each_thread_executes_what_it_executed_before(items: list[Any]) -> None:
    before = kernel_of(items)
    after = gather(before)
    verify(after)
    assert events(after) == events(before)


def _first_only(group: Role, *blocks: Roles) -> Role:
    return next(r for block in blocks for r in block.roles if r.first == group.first)


MUTANTS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "joins only the first": (roles, "_joined", _first_only),
    "overlapping groups": (roles, "_partition", lambda found: list({r.first: r for r in found}.values())),
    "everything is a bind": (roles._Gatherer, "is_bind", lambda self, s: not isinstance(s, Roles)),
    "forgets binds": (roles, "used_by_each", lambda binds, found, bodies: list(bodies)),
}
WITNESS = [
    ("ws", 0, 1),
    ("ws", 1, 2),
    ("all",),
    ("loop", 3, [("let",), ("ws", 0, 2), ("all",), ("ws", 0, 1)]),
    ("loop", 2, [("let",), ("ws", 0, 1), ("ws", 1, 2)]),
    ("ws", 0, 1),
    ("ws", 0, 2),
]


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_law_catches_wrong_gathering(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kernel_of(WITNESS)
    assert events(gather(before)) == events(before)
    owner, name, wrong = MUTANTS[mutant]
    monkeypatch.setattr(owner, name, wrong)
    with pytest.raises((AssertionError, TileError, KeyError)):
        after = gather(before)
        assert events(after) == events(before)


# ------------------------------------------------------------------------------------------------------ examples

HEAD = """
kernel k(A: global float16[512, 256], B: global float16[256, 256], N: global int32[8]) {
  launch k(bx in 2) threads(t in 256) {
"""


def shown(body: str) -> str:
    made = gather(parse(HEAD + body + "}}"))
    lines = text(made).splitlines()[2:-2]
    return "\n".join(line.removeprefix("    ") for line in lines)


def ws(first: int, body: str, name: str = "r") -> str:
    return f"roles {{ role {name}(first={first}, threads=128) t{first} {{ {body} }} }}\n"


def counted(body: str) -> int:
    return sum(isinstance(s, Roles) for s in statements(gather(parse(HEAD + body + "}}"))))


def test_blocks_that_follow_each_other_are_one_program_for_each_group() -> None:
    F = "alloc F: fragment float16[64, 64]\n"
    body = F + ws(0, "fill F, 0.0") + "for k in 4 pipelined(stages=2) {" + "let row = k * 64\n"
    body += ws(128, "copy B[row : 64, 0 : 64] -> A[row : 64, 0 : 64]") + ws(0, "fill F, 1.0") + "}\n"
    body += ws(0, "copy F -> A[448 : 64, 0 : 64]")
    assert shown(
        body.replace("alloc F", "alloc bar: barrier uint64[1] = 128\nalloc F").replace(
            "fill F, 1.0", "arrive bar[0]\nfill F, 1.0"
        )
    ) == (
        "alloc bar: barrier uint64[1] = 128\n"
        "roles {\n"
        "  role r(first=0, threads=128) t0 {\n"
        "    alloc F: fragment float16[64, 64]\n"
        "    fill F, 0.0\n"
        "    for k in 4 {\n"
        "      arrive bar[0]\n"
        "      fill F, 1.0\n"
        "    }\n"
        "    copy F -> A[448 : 64, 0 : 64]\n"
        "  }\n"
        "  role r(first=128, threads=128) t128 {\n"
        "    for k_1 in 4 {\n"
        "      let row = k_1 * 64\n"
        "      copy B[row : 64, 0 : 64] -> A[row : 64, 0 : 64]\n"
        "    }\n"
        "  }\n"
        "}"
    )


S = "alloc S: shared float16[64, 64]\n"
WRITE, READ = "copy A[0 : 64, 0 : 64] -> S", "copy S -> A[128 : 64, 0 : 64]"


def test_roles_that_rely_on_a_barrier_between_them_stay_apart() -> None:
    assert counted(S + ws(0, WRITE) + ws(128, READ)) == 2
    bar = "alloc bar: barrier uint64[1] = 128\n"
    assert counted(S + bar + ws(0, WRITE + "\n arrive bar[0]") + ws(128, "await bar[0], 0\n" + READ)) == 1
    assert counted(S + ws(0, "fill S, 1.0") + ws(128, "copy A[0 : 64, 0 : 64] -> B[0 : 64, 0 : 64]")) == 1


def test_work_of_the_block_goes_in_front_of_roles_that_do_not_depend_on_it() -> None:
    other = "alloc P: shared float16[64, 64]\ncopy B[0 : 64, 0 : 64] -> P\n"
    assert counted(S + ws(0, WRITE) + other + ws(0, READ)) == 1
    assert counted(S + ws(0, WRITE) + "fill S, 0.0\n" + ws(0, READ)) == 2


def test_what_is_read_again_in_each_role_nobody_writes() -> None:
    loop = "for k in 4 {{ let n: int32 = N[k] \n {} {} }}"
    pair = (ws(0, "A[cast<index>(n), 0] = float16(1.0)"), ws(128, "B[cast<index>(n), 0] = float16(1.0)"))
    assert shown(loop.format(*pair)).startswith("roles")
    assert shown(loop.format(*pair) + "N[0] = 1").startswith("for")
    assert shown(f"for k in 4 {{ let n: int32 = atomic_update(add) N[k], 1\n {pair[0]} }}").startswith("for")


def test_registers_are_of_the_role_and_later_ones_statements() -> None:
    body = ws(0, "A[0, 0] = float16(1.0)") + ws(0, "A[0, 1] = float16(1.0)") + ws(0, "A[0, 2] = float16(1.0)")
    found = parse(HEAD + body + "}}")
    counts = iter((240, 0, 160))
    launch = found.launches[0]
    given = tuple(
        replace(s, roles=(replace(s.roles[0], registers=next(counts)),)) for s in launch.body if isinstance(s, Roles)
    )
    made = text(gather(replace(found, launches=(replace(launch, body=given),))))
    assert "registers=240" in made and "set_registers(count=160)" in made


def test_variables_exist_once_in_each_role() -> None:
    found = shown(
        "alloc v: var int32 = 3\n" + ws(0, "v = v + 1\nN[0] = v") + ws(128, "v = v + 2\nA[0, 0] = cast<float16>(v)")
    )
    assert found.count("alloc v: var") == found.count("alloc v_1: var") == 1


def test_memory_of_the_block_is_allocated_outside() -> None:
    assert shown(ws(0, S + WRITE)).startswith("alloc S: shared float16[64, 64]\nroles")


@pytest.mark.parametrize(
    ("branch", "ranges"),
    [
        ("if t < 128 {{ {0} }} else {{ {1} }}", [(0, 128), (128, 128)]),
        ("if t >= 128 {{ {0} }} else {{ {1} }}", [(0, 128), (128, 128)]),
        ("if t < 128 {{ {0} }} else if t >= 128 and t < 256 {{ {1} }}", [(0, 128), (128, 128)]),
        ("if 127 < t {{ {0} {1} }}", [(128, 128)]),
        ("if t < 256 {{ {0} {1} }}", [(0, 256)]),
        ("if t < 96 {{ {0} }} else {{ {1} }}", []),
        ("if bx < 1 {{ {0} }} else {{ {1} }}", []),
    ],
)
def test_branches_on_the_thread_are_roles(branch: str, ranges: list[tuple[int, int]]) -> None:
    body = "alloc bar: barrier uint64[1] = 128\n" + branch.format("arrive bar[0]", "await bar[0], 0")
    made = gather(parse(HEAD + body + "}}"))
    found = [(r.first, r.threads) for s in statements(made) if isinstance(s, Roles) for r in s.roles]
    assert found == ranges


def test_branches_without_barriers_stay_branches() -> None:
    assert shown("if t < 128 {\n A[t, 0] = float16(1.0) }").startswith("if t < 128")
