"""The gradients of attention with sinks: the formulas are the derivatives, and the kernels compute them."""

from __future__ import annotations

import numpy as np
import pytest
from cases import EXAMPLES

from tiledsl.backends import Backend
from tiledsl.testing import compare
from tiledsl.testing.case import Case, Draw, run_case
from tiledsl.tools.loading import load_module

forward, backward = (load_module(str(EXAMPLES / "attention_sink" / f"{name}.py")) for name in ("forward", "backward"))
STEP = 1e-6
FORMS = {"whole": (2, None), "window": (2, 3), "groups": (1, None), "groups, window": (1, 4)}
forms = pytest.mark.parametrize(("kv_heads", "window"), FORMS.values(), ids=FORMS)


def drawn(kv_heads: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    shapes = {"Q": (2, 2, 6, 3), "K": (2, kv_heads, 6, 3), "V": (2, kv_heads, 6, 3), "sinks": (2,)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


@forms
def test_the_formulas_are_the_derivatives(kv_heads: int, window: int | None) -> None:
    """Of sum(O dO), by central differences in float64, for each element of each input."""
    given = drawn(kv_heads)
    towards = np.random.default_rng(5).standard_normal(given["Q"].shape)
    found = backward.gradients(**given, dO=towards, window=window)
    for name, value in given.items():
        slopes = np.zeros(value.shape)
        for at in np.ndindex(value.shape):
            ends = []
            for step in (STEP, -STEP):
                moved = value.copy()
                moved[at] += step
                ends.append((backward.forward(**{**given, name: moved}, window=window)[0] * towards).sum())
            slopes[at] = (ends[0] - ends[1]) / (2 * STEP)
        np.testing.assert_allclose(found[f"d{name}"], slopes, rtol=1e-6, atol=1e-7)


@pytest.mark.cxx
@forms
def test_the_kernels_compute_them_together(kv_heads: int, window: int | None) -> None:
    """Forward and backward, what one kernel found given to the next."""
    batch, heads, seq, dim, rows = 2, 2, 100, 64, 64
    window = window and 10 * window
    draw, shape_k = Draw(1, exact=False), (batch, kv_heads, seq, dim)
    start = {"Q": draw(batch, heads, seq, dim), "K": draw(*shape_k), "V": draw(*shape_k), "sinks": draw(heads)}

    def run(kernel, results, **inputs):
        case = Case("kernel", kernel, lambda draw: inputs, lambda **_: {})
        return (run_case(case, inputs, Backend.CPU, "sm_90a")[name] for name in results)

    kernel = forward.sink_attention(batch, heads, seq, seq, dim, kv_heads, window, block_N=64)
    out, lse = run(kernel, ["O", "lse"], **start)
    start["dO"] = draw(batch, heads, seq, dim)
    (delta,) = run(backward.output_sums(batch, heads, seq, dim), ["delta"], O=out, dO=start["dO"])
    sums = {"dQ": np.zeros(backward.tiles_of(batch, heads, seq, dim, rows), np.float32)}
    if kv_heads != heads:
        sums |= {n: np.zeros(start["K"].shape, np.float32) for n in ("dK", "dV")}
    kernel = backward.sink_attention_backward(batch, heads, seq, dim, kv_heads, window, block_N=rows)
    given = {n: start[n] for n in ("Q", "K", "V", "dO")}
    tiles, dk, dv = run(kernel, ["dQ", "dK", "dV"], **given, lse=lse, delta=delta, **sums)
    (dq,) = run(backward.query_gradient(batch, heads, seq, dim, rows), ["dQ"], sums=tiles)
    given = {"sinks": start["sinks"], "lse": lse, "delta": delta}
    (dsinks,) = run(backward.sink_gradient(batch, heads, seq), ["dsinks"], **given)
    expected = backward.gradients(**start, window=window)
    for name, value in {"dQ": dq, "dK": dk, "dV": dv, "dsinks": dsinks}.items():
        compare(name, value.astype(np.float64), expected[name], rtol=1e-2, atol=1e-2)


def test_tiles_of_the_sums_are_those_of_the_matrix() -> None:
    matrix = np.arange(2 * 3 * 40 * 16).reshape(2, 3, 40, 16)
    tiles = backward.tiles(matrix, 32)
    assert tiles.shape == backward.tiles_of(2, 3, 40, 16, 32)
    assert tiles[4, 1, 1, 5, 2] == matrix[1, 1, 37, 10]
    np.testing.assert_array_equal(backward.matrix_of(tiles, 2)[:, :, :40], matrix)
