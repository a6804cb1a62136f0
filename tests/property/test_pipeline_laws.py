"""Laws of software pipelining, on random programs executed by the tile interpreter (algorithms.md E.C, P1-P24)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_programs import Random, execute, kernels, same_results

from tiledsl.passes.software_pipeline import software_pipeline

FORMS = ["auto", "peeled", "rolled", "guarded"]


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60, deadline=None)
@given(program=kernels(), fuse=st.booleans())
def test_p3_p24_pipelined_programs_compute_the_same_in_every_form(form: str, program: Random, fuse: bool) -> None:
    pipelined = software_pipeline(program.kernel, form=form, fuse_barrier=fuse)
    assert same_results(execute(program.kernel, program.n), execute(pipelined, program.n))
