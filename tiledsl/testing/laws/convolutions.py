"""Laws of the matrix of a convolution: however it is copied, it is what its definition says."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.laws.whole import emitted, inputs_of, stages
from tiledsl.testing.strategies.convolutions import Convolution, convolutions
from tiledsl.validation.compare import Stage, execute


@law("S1", "S18", "S19", examples=25, share=2, program=convolutions(), mode=st.sampled_from(["early", "late"]))
def matrices_of_convolutions_are_what_they_are_by_definition(program: Convolution, mode: Any) -> None:
    """In every execution after every pass: copied by threads, by cp.async or by the copy engine."""
    found = execute(program.kernel, inputs_of(program), Stage.TILE, mode=mode)["out"]
    np.testing.assert_array_equal(found, program.expected)
    for name, kernel, stage in stages(program):
        how = {"mode": mode} if stage in (Stage.TILE, Stage.THREAD) else {}
        found = execute(kernel, inputs_of(program), stage, **how)["out"]
        np.testing.assert_array_equal(found, program.expected, err_msg=name)


@law("S24", examples=6, share=2, compiler=True, program=convolutions(), seed=st.integers(0, 99))
def emitted_copies_of_matrices_of_convolutions(program: Convolution, seed: int) -> None:
    found = emitted(program, check=True, mode="random", seed=seed)["out"]
    np.testing.assert_array_equal(found, program.expected)


LAWS = laws_of(globals())
