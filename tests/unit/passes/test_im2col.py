"""Copies of the matrix of a convolution: by whom they are made, and why not by the copy engine."""

from __future__ import annotations

import pytest

from tiledsl.compile import lower
from tiledsl.ir.parser import parse
from tiledsl.passes.expand_lets import expand_lets
from tiledsl.passes.warp_specialise import warp_plans
from tiledsl.runtime.maps import map_of
from tiledsl.target import target_named
from tiledsl.tensor_map import Im2col, map_of_window

SM90 = target_named("sm_90a")
KERNEL = """
kernel k(image: global float16[2, 12, 12, 64], out: global float16[256, 576]) {
  launch main(b in 4) threads(t in 128) {
    alloc S: shared float16[64, 64]
    alloc F: fragment float16[64, 64]
    for k in 9 pipelined(stages=2) {
      copy im2col(kernel=3, stride=1, dilation=1, pad=1) image[b * 64 : 64, k * 64 : 64] -> S
      copy S -> F
      copy F -> out[b * 64 : 64, k * 64 : 64]
    }
  }
}
"""


def changed(*changes: tuple[str, str]) -> str:
    made = KERNEL
    for old, new in changes:
        assert old in made
        made = made.replace(old, new)
    return made


# ------------------------------------------------------------------------------------------------------ who makes them

FAR = "its filter reaches over {} pixels with a padding of {}, which is too far"
FURTHER = ("image[b * 64 :", "image[b * 64 + 34176 :")  # where the image is, not only its padding
TAPS = "a row of 'S' may take in several taps: 64 columns, {} channels"
BY_ELEMENT = ("another type", "short rows", "a safe value", "written")  # for any target
# What is changed, and the reason why threads make the copy; none where the copy engine does.
ENGINES: dict[str, tuple[tuple[tuple[str, str], ...], str]] = {
    "plain": ((), ""),
    "stride 8": ((("stride=1", "stride=8"),), ""),
    "stride 9": ((("stride=1", "stride=9"),), "its stride is 9, and the copy engine takes every 8th pixel at most"),
    "taps 255 pixels apart": ((("kernel=3", "kernel=2"), ("dilation=1, pad=1", "dilation=255, pad=128")), ""),
    "taps 256 pixels apart": (
        (("kernel=3", "kernel=2"), ("dilation=1, pad=1", "dilation=256, pad=128")),
        FAR.format(257, 128),
    ),
    "padding 128": ((("pad=1", "pad=128"), FURTHER), ""),
    "padding 129": ((("pad=1", "pad=129"), FURTHER), FAR.format(3, 129)),
    "no padding": ((("pad=1", "pad=0"), ("12, 12", "300, 300"), ("dilation=1", "dilation=64")), ""),
    "no padding, far": (
        (("pad=1", "pad=0"), ("12, 12", "300, 300"), ("dilation=1", "dilation=65")),
        FAR.format(131, 0),
    ),
    "two tiles a tap": ((("12, 12, 64", "12, 12, 128"),), ""),
    "two taps a tile": ((("12, 12, 64", "12, 12, 32"),), TAPS.format(32)),
    "across taps": ((("12, 12, 64", "12, 12, 96"),), TAPS.format(96)),
    "half a tile on": ((("k * 64 : 64] -> S", "k * 64 + 32 : 64] -> S"),), TAPS.format(64)),
    "another type": ((("image: global float16", "image: global bfloat16"),), "it converts bfloat16 to float16"),
    "short rows": (
        (("[64, 64]", "[64, 4]"), ("k * 64 : 64", "k * 4 : 4")),
        "a row of 'S' has 8 bytes, no multiple of 16",
    ),
    "by threads": ((("copy im2col", "copy(engine=threads) im2col"),), "the threads are to make it"),
    "a safe value": (
        (("128) {\n", "128) {\n    safe image = float16(1.0)\n"),),
        "'image' has another value than 0 out of bounds",
    ),
    "written": (
        (("copy F -> out", "copy F[0 : 1, 0 : 64] -> image[0, 0, 0, 0 : 64]\ncopy F -> out"),),
        "'image' is written by the kernel",
    ),
}


@pytest.mark.parametrize(("changes", "reason"), ENGINES.values(), ids=ENGINES)
def test_the_plan_says_why_threads_copy(changes: tuple[tuple[str, str], ...], reason: str) -> None:
    kernel = parse(changed(*changes))
    (plan,) = warp_plans(expand_lets(kernel), SM90)
    assert [why for _, why in plan.left] == ([reason] if reason else [])
    assert bool(plan.refused) == bool(reason)
    text = lower(kernel, SM90).source.text
    assert ("tma_load_im2col(" in text) != bool(reason)


@pytest.mark.parametrize(("changes", "reason"), ENGINES.values(), ids=ENGINES)
def test_before_sm_90_threads_copy_in_vectors(changes: tuple[tuple[str, str], ...], reason: str) -> None:
    """By cp.async where neither the type nor the length of a row, nor a value out of bounds, is in the way."""
    text = lower(parse(changed(*changes)), target_named("sm_80")).source.text
    assert "tma_" not in text
    assert ("cp_async_16(" in text) == (reason not in [ENGINES[name][1] for name in BY_ELEMENT])


# -------------------------------------------------------------------------------------------------- what they are told

# Columns and channels of a tile, and the boxes of it: two rows of 128 bytes are two boxes, of one tap each.
BOXES = {
    "one box": (64, 64, [(64, 64)]),
    "of 32 columns": (32, 64, [(64, 32)]),
    "of 512 bytes": (256, 256, [(64, 256)]),
}


@pytest.mark.parametrize(("columns", "channels", "boxes"), BOXES.values(), ids=BOXES)
def test_the_driver_is_told_of_the_window(columns: int, channels: int, boxes: list[tuple[int, ...]]) -> None:
    tile = f"[64, {columns}]"
    text = changed(("12, 64]", f"12, {channels}]"), ("[64, 64]", tile), ("k * 64 : 64", f"k * {columns} : {columns}"))
    (entry,) = lower(parse(text), SM90).signature.entries
    assert [(m.tensor, m.box, m.window) for m in entry.maps] == [("image", box, (3, 1, 1, 1)) for box in boxes]
    (m,) = (map_of(m, {}) for m in entry.maps)
    assert (m.im2col, m.steps) == (Im2col((-1, -1), (-1, -1), columns, 64), (1, 1, 1, 1))


@pytest.mark.parametrize(("window", "maps"), [("stride=1, dilation=1, pad=1", 1), ("stride=2, dilation=1, pad=1", 2)])
def test_one_map_for_each_window(window: str, maps: int) -> None:
    loop = KERNEL[KERNEL.index("    for k") : KERNEL.index("  }\n}")]
    second = loop.replace("stride=1, dilation=1, pad=1", window).replace("-> S", "-> R").replace("copy S", "copy R")
    text = changed((loop, f"    alloc R: shared float16[64, 64]\n{loop}{second}"))
    (entry,) = lower(parse(text), SM90).signature.entries
    assert len(entry.maps) == maps


def test_the_corners_of_a_map() -> None:
    """The first tap lies from -pad to side + pad - reach - 1: offsets from the first pixel, and from the last."""
    m = map_of_window("image", "float16", (2, 12, 12, 64), None, (64, 32), 64, (3, 2, 4, 3))
    assert m.im2col == Im2col((-3, -3), (-5, -5), 32, 64)
    assert (m.steps, m.loaded, m.copied_bytes) == ((1, 2, 2, 1), (64, 32), 4096)
