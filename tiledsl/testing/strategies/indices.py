"""Index arithmetic as compilers write it: addresses, conditions, swizzles, and small ranges of their variables."""

from __future__ import annotations

from hypothesis import strategies as st

from tiledsl.ir.nodes import Binary, Const, Expr, Select, Unary, Var

I, J, T = VARIABLES = [Var("i"), Var("j"), Var("t")]
SMALL = st.sampled_from([1, 2, 3, 4, 6, 8])
RANGE = st.sampled_from([(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (0, 6), (0, 7), (0, 8), (-2, 3)])
RANGES = st.tuples(RANGE, RANGE, RANGE).map(lambda r: dict(zip(VARIABLES, r)))
LEAF = st.one_of(st.sampled_from(VARIABLES), st.integers(-3, 8).map(Const))
COMPARISON = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])


def _binary(ops: list[str], a: st.SearchStrategy[Expr], b: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    return st.builds(Binary, st.sampled_from(ops), a, b)


CONSTANT = SMALL.map(Const)
ADDRESS: st.SearchStrategy[Expr] = st.recursive(
    LEAF,
    lambda e: st.one_of(_binary(["+", "-"], e, e), _binary(["*", "//", "%"], e, CONSTANT)),
    max_leaves=8,
)


def _extended(e: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    modulus = st.sampled_from([1, 2, 4, 8]).map(Const)
    natural = st.builds(lambda a, c: Binary("%", a, c), e, modulus)
    return st.one_of(
        _binary(["+", "-", "*", "min", "max"], e, e),
        _binary(["*", "//", "%"], e, st.sampled_from([-4, -3, -1, 2, 3, 4]).map(Const)),
        _binary(["^", "&", "|"], e, natural),
        _binary(["<<", ">>"], e, st.integers(0, 3).map(Const)),
        _binary(["div", "rem"], e, CONSTANT),
        st.builds(Unary, st.just("-"), e),
        st.builds(lambda op, a, b, x, y: Select(Binary(op, a, b), x, y), COMPARISON, e, e, e, e),
    )


ANY: st.SearchStrategy[Expr] = st.recursive(ADDRESS, _extended, max_leaves=5)
CONDITION: st.SearchStrategy[Expr] = st.recursive(
    st.builds(Binary, COMPARISON, ADDRESS, ADDRESS),
    lambda c: st.one_of(_binary(["and", "or"], c, c), st.builds(Unary, st.just("not"), c)),
    max_leaves=3,
)


XOR_SIDE = st.lists(
    st.tuples(st.sampled_from([1, 2, 4, 8, 16]), st.sampled_from([I, I % 8, J % 4, T // 2 % 4, T % 2, Const(1)])),
    min_size=1,
    max_size=3,
).map(lambda terms: sum((e * k for k, e in terms[1:]), terms[0][1] * terms[0][0]))


def addresses() -> st.SearchStrategy[Expr]:
    """Sums, differences, multiples, quotients and remainders by constants, of `VARIABLES`."""
    return ADDRESS


def conditions() -> st.SearchStrategy[Expr]:
    """Comparisons of addresses, joined by and, or, not."""
    return CONDITION


def ranges() -> st.SearchStrategy[dict[Var, tuple[int, int]]]:
    """The least and the greatest value of each of `VARIABLES`; small, so that all assignments can be tried."""
    return RANGES
