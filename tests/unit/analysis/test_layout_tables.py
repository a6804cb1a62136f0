"""Tables and their pictures."""

from __future__ import annotations

from tiledsl.analysis.layout_tables import compared, first_difference, is_injective, is_injective_layout, picture
from tiledsl.ir.layout import Digit, Fragment, Layout, fully_replicated, partition, row_major


def test_injectivity() -> None:
    assert is_injective(partition((9, 8), 12, 1))
    assert not is_injective(Fragment((4,), (Digit(2, 1),), (Digit(2, 1),)))  # the same digit twice
    assert is_injective_layout(row_major((4, 8), 2))
    assert not is_injective_layout(Layout((4, 4), ((Digit(4, 2),), (Digit(4, 1),)), 16))
    assert not is_injective_layout(Layout((4, 4), row_major((4, 4)).dims, 15))  # leaves its size


def test_pictures() -> None:
    assert picture(partition((2, 4), 4, 2), rows=1).splitlines() == [
        "              0        1        2        3",
        "    0:     T0:0     T0:1     T1:0     T1:1",
    ]
    assert "T0+:3" in picture(fully_replicated((4,), 32))
    assert "64" in picture(row_major((4, 64)), start=64, rows=1).splitlines()[1]


def test_comparison_starts_where_the_threads_differ() -> None:
    a, b = partition((4, 8), 8, 4), partition((4, 8), 8, 2)
    assert first_difference(a, b) == 2 and first_difference(a, a) == 0
    text = compared("one", a, "other", b)
    assert "one (thread:register):" in text and "other (thread:register):" in text
    assert text.splitlines()[1].split()[0] == "2"
    assert first_difference(a, partition((8, 4), 8, 4)) == 0
