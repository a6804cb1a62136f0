"""Laws of the text form over random kernels of every kind of node."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume
from hypothesis import strategies as st

from tiledsl.errors import VerifyError
from tiledsl.ir import nodes
from tiledsl.ir.dtypes import DTYPES, HANDLE
from tiledsl.ir.nodes import Buffer, Const, Kernel, Let, Var
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import rewrite, same, walk
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.laws.layouts import CHOICE, chosen
from tiledsl.testing.strategies import constants, expressions, kernels

_VALUES = [d for d in DTYPES.values() if d is not HANDLE]


def kernel_of(value: nodes.Expr, dtype: object) -> Kernel:
    """A kernel that binds one value."""
    body = (Let(Var("x", value.dtype if isinstance(value, Const) else dtype), value),)  # type: ignore[arg-type]
    launch = nodes.Launch("main", (Const(1),), (Var("b"),), (32,), Var("t"), body)
    return Kernel("k", (), (launch,))


def renamed(kernel: Kernel) -> Kernel:
    """The kernel with every variable and buffer replaced by another one called `z`."""
    memo: dict[nodes.Node, nodes.Node] = {}

    def extents(values: tuple[nodes.Extent, ...]) -> tuple[nodes.Extent, ...]:
        return tuple(rewrite(v, rule) if isinstance(v, nodes.Expr) else v for v in values)

    def rule(n: nodes.Node) -> nodes.Node:
        if isinstance(n, Var):
            return memo.setdefault(n, Var("z", n.dtype))
        if isinstance(n, Buffer):
            strides = None if n.strides is None else extents(n.strides)
            return memo.setdefault(n, replace(n, name="z", shape=extents(n.shape), strides=strides))
        return n

    result: Kernel = rewrite(kernel, rule)
    return result


@law(kernel=kernels())
def parsing_inverts_printing_up_to_names(kernel: nodes.Kernel) -> None:
    verify(kernel)
    printed = text(kernel)
    parsed = parse(printed)
    assert same(parsed, kernel)
    assert text(parsed) == printed
    verify(parsed)
    other = renamed(kernel)
    verify(other)
    assert same(kernel, other) and same(other, kernel)


@law(value=st.sampled_from(_VALUES).flatmap(constants))
def every_constant_is_exact(value: Const) -> None:
    parsed = parse(text(kernel_of(value, value.dtype))).launches[0].body[0]
    assert isinstance(parsed, Let) and same(parsed.value, value)


@law(case=st.sampled_from(_VALUES).flatmap(lambda d: st.tuples(expressions(d), st.just(d))))
def precedence_and_parentheses(case: tuple[nodes.Expr, object]) -> None:
    parsed = parse(text(kernel_of(*case))).launches[0].body[0]
    assert isinstance(parsed, Let) and same(parsed.value, case[0])


@law(kernel=kernels(), where=CHOICE, what=CHOICE)
def verify_says_what_is_wrong_with_any_kernel(kernel: Kernel, where: int, what: int) -> None:
    """One expression replaced by another: accepted or a VerifyError, and never any other exception; the text exists."""
    found = [n for n in walk(kernel) if isinstance(n, nodes.Expr)]
    replaceable = [e for e in found if not isinstance(e, (Var, nodes.Address))]  # some fields are typed as these
    assume(replaceable)
    old, new = chosen(replaceable, where), chosen(found, what)
    broken: Kernel = rewrite(kernel, lambda n: new if n is old else n)
    try:
        verify(broken)
    except VerifyError as said:
        assert said.message
    assert text(broken)


LAWS = laws_of(globals())
