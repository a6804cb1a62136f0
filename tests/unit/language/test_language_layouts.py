"""Layouts written by the user: functions are recovered as digits, wrong ones are refused."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tiledsl.analysis.layout_tables import equal, offset_table, reg_table, thread_table
from tiledsl.errors import NOWHERE, TileError
from tiledsl.ir.dtypes import FLOAT16, FLOAT32
from tiledsl.ir.layout import fragment, partition, row_major
from tiledsl.ir.nodes import Buffer, Space, Var
from tiledsl.ir.swizzle import expand, padded, swizzled
from tiledsl.language.layouts import (
    Fragment,
    Layout,
    as_layout,
    make_full_bank_swizzled_layout,
    make_half_bank_swizzled_layout,
    make_linear_layout,
    make_quarter_bank_swizzled_layout,
    make_swizzled_layout,
    plot_layout,
)


def refused(code: str, make) -> TileError:
    with pytest.raises(TileError) as raised:
        make()
    assert raised.value.code == code
    return raised.value


def test_offsets_and_coordinates() -> None:
    assert Layout((8, 16), lambda i, j: i * 16 + j).layout == row_major((8, 16))
    padded_by_four = as_layout(Layout((8, 16), lambda i, j: i * 20 + j), (8, 16), FLOAT16, NOWHERE)
    assert padded_by_four == row_major((8, 16), 4)  # the size is rounded up to 16 bytes, for copies of the tile
    turned = Layout((8, 16), lambda i, j: (j, i)).layout
    assert offset_table(turned).tolist() == [[j * 8 + i for j in range(16)] for i in range(8)]
    blocked = Layout((8, 16), lambda i, j: (j // 4, i, j % 4)).layout
    assert offset_table(blocked)[3, 9] == 2 * 32 + 3 * 4 + 1


def test_L7_swizzles_are_recovered() -> None:
    given = Layout((64, 64), lambda i, j: i * 64 + ((j // 8) ^ (i % 8)) * 8 + j % 8).layout
    assert (offset_table(given) == offset_table(swizzled((64, 64), 16))).all()
    assert given.swizzle is not None


def test_registers_of_a_matrix_instruction() -> None:
    by_hand = Fragment((16, 8), lambda i, j: (i % 8 * 4 + j // 2, i // 8 * 2 + j % 2))
    assert equal(by_hand.fragment, fragment("mn", "m8 n4*2", "m2*8 n2"))


def test_registers_are_numbered_row_by_row_if_not_given() -> None:
    """forward_index_fn derived: what the thread does not use goes to registers."""
    f = Fragment((9, 8), forward_thread_fn=lambda i, j: (i * 8 + j) % 12).fragment
    assert equal(f, partition((9, 8), 12, 1))
    g = Fragment(
        (8, 8), forward_thread_fn=lambda i, j: i * 4 + j // 2, forward_index_fn=lambda i, j: [0, j % 2]
    ).fragment
    assert reg_table(g).tolist() == [j % 2 for _ in range(8) for j in range(8)]


def test_replicas() -> None:
    f = Fragment((8,), forward_thread_fn=lambda i, r: r * 8 + i, replicate=4).fragment
    assert f.replication == 4 and sorted(thread_table(f)[3]) == [3, 11, 19, 27]
    inner = Fragment((8,), lambda i, r: (i * 4 + r, 0), replicate=4).fragment
    assert sorted(thread_table(inner)[3]) == [12, 13, 14, 15]
    assert equal(Fragment((8,), lambda i: (i, 0)).replicate(4).fragment, f)


def test_repeats() -> None:
    base = Fragment((16, 8), lambda i, j: (i % 8 * 4 + j // 2, i // 8 * 2 + j % 2))
    more = base.repeat([2, 1])
    assert more.shape == (32, 8) and more.fragment.num_regs == 8
    warps = base.repeat([2, 2], repeat_on_thread=True).fragment
    assert warps.num_threads == 128 and thread_table(warps).reshape(32, 16)[16, 0] == 64
    other = base.repeat([2, 2], repeat_on_thread=True, lower_dim_first=False).fragment
    assert thread_table(other).reshape(32, 16)[16, 0] == 32
    for bad in ([0, 1], [1], [1, 1, 1]):
        with pytest.raises(ValueError):
            base.repeat(bad)
    with pytest.raises(ValueError):
        base.replicate(0)


def test_standard_layouts() -> None:
    tile = Buffer("tile", (64, 64), FLOAT16, Space.SHARED)
    assert make_swizzled_layout(tile) == make_full_bank_swizzled_layout(tile) == swizzled((64, 64), 16, 128)
    assert make_half_bank_swizzled_layout(tile) == swizzled((64, 64), 16, 64)
    assert make_quarter_bank_swizzled_layout(tile) == swizzled((64, 64), 16, 32)
    assert make_linear_layout(tile) == row_major((64, 64))
    odd = Buffer("odd", (12, 64), FLOAT16, Space.SHARED)
    assert make_swizzled_layout(odd) == padded((12, 64), 16)
    assert "'odd'" in refused("TD0307", lambda: make_swizzled_layout(odd, allow_pad=False)).message
    refused("TD0307", lambda: make_full_bank_swizzled_layout(odd))


def test_functions_that_are_no_layouts() -> None:
    raised = refused("TD0306", lambda: Layout((4, 4), lambda i, j: i + j))
    assert "(0, 1)" in raised.message and "(1, 0)" in raised.message
    refused("TD0306", lambda: Fragment((4, 4), lambda i, j: (i, 0)))
    refused("TD0306", lambda: Fragment((4,), lambda i: (i, 0), replicate=2))
    refused("TD0308", lambda: Layout((8,), lambda i: i * i))
    refused("TD0308", lambda: Fragment((8,), lambda i: (i * i, 0)))
    refused("TD0307", lambda: Fragment((8,)))
    refused("TD0307", lambda: Fragment((8,), lambda i: (i, 0), lambda i: i))


def test_as_layout_checks_the_shape() -> None:
    given = Layout((64, 64), lambda i, j: i * 64 + j)
    assert as_layout(given, (64, 64), FLOAT16, NOWHERE) == row_major((64, 64))
    assert as_layout(swizzled((64, 64), 16), (3, 64, 64), FLOAT16, NOWHERE) == expand(swizzled((64, 64), 16), (3,))
    f = Fragment((8,), lambda i: (i, 0))
    assert as_layout(f, (8,), FLOAT32, NOWHERE) == f.fragment
    for value, shape in ((given, (32, 64)), (f, (3, 8)), (given, (64, Var("n"))), ("row", (8,))):
        refused("TD0307", lambda value=value, shape=shape: as_layout(value, shape, FLOAT32, NOWHERE))


# ------------------------------------------------------------------------------------------------------- pictures


def drawn(path: str) -> list[tuple[str, str]]:
    """The label and the colour of each element of a picture, row by row."""
    root = ElementTree.parse(path).getroot()
    _title, *labels = root.findall("{*}text")
    return [(str(t.text), r.attrib["fill"]) for t, r in zip(labels, root.findall("{*}rect"), strict=True)]


def test_pictures_are_those_of_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared = Layout((4, 16), lambda i, j: (j // 8, i, (j ^ i) % 8))
    picture, listed = plot_layout(shared, str(tmp_path / "new"), "shared", formats="all", bits=16, verbose=True)
    elements = drawn(picture)
    assert [int(label) for label, _ in elements] == offset_table(shared.layout).ravel().tolist()
    banks = {label: int(label) * 16 // 32 % 32 for label, _ in elements}
    assert len({(banks[label], fill) for label, fill in elements}) == len(set(banks.values()))
    assert Path(listed).read_text() == capsys.readouterr().out
    assert Path(listed).read_text().splitlines()[2].split()[:3] == ["0/0", "1/0", "2/1"]
    held = Fragment((4, 4), forward_thread_fn=lambda i, j: i * 2 + j // 2, forward_index_fn=lambda i, j: j % 2)
    (path,) = plot_layout(held, str(tmp_path))
    assert Path(path) == tmp_path / "layout.svg"
    assert [label for label, _ in drawn(path)] == [f"T{i * 2 + j // 2}:{j % 2}" for i in range(4) for j in range(4)]
    plain = make_linear_layout(Buffer("s", (2, 3), FLOAT32, Space.SHARED))
    assert [label for label, _ in drawn(plot_layout(plain, str(tmp_path))[0])] == list("012345")


def test_pictures_that_cannot_be_drawn(tmp_path: Path) -> None:
    plain = row_major((2, 2))
    assert "'svg', 'txt', 'all'" in refused("TD0226", lambda: plot_layout(plain, str(tmp_path), formats=["pdf"])).hint
    assert "'svg', 'txt', 'all'" in refused("TD0226", lambda: plot_layout(plain, str(tmp_path), formats=[])).hint
    refused("TD0226", lambda: plot_layout(plain, str(tmp_path), bits=0))
    refused("TD0307", lambda: plot_layout((2, 2), str(tmp_path)))
    (tmp_path / "file").write_text("")
    refused("TD0715", lambda: plot_layout(plain, str(tmp_path / "file")))
