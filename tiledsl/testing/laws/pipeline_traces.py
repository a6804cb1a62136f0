"""What pipelined programs do, statement by statement (algorithms.md E.C): the same as the program, in other order."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume
from hypothesis import strategies as st

from tiledsl.cpu import interp
from tiledsl.errors import TileError
from tiledsl.ir.nodes import AsyncCommit, AsyncWait, AtomicUpdate, Buffer, If, Kernel
from tiledsl.ir.walk import walk
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.pipeline import pipeline
from tiledsl.passes.software_pipeline import software_pipeline
from tiledsl.target import target_named
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.laws.pipeline_trace import numbered, traced
from tiledsl.testing.strategies.pipelines import PipelinedKernel, execute, pipelined_kernels, same_results

FORMS = ["peeled", "rolled", "guarded"]
TWO_LOOPS, NESTED = 0, 1  # shapes of pipeline_programs.kernels
SM80 = target_named("sm_80")


def prepared(program: PipelinedKernel) -> PipelinedKernel:
    return PipelinedKernel(numbered(program.kernel), program.n)


@law(
    "P4", "P6", "P11", "P12", examples=150, program=pipelined_kernels(), fuse=st.booleans(), form=st.sampled_from(FORMS)
)
def each_statement_does_the_same_in_the_same_order(form: str, program: PipelinedKernel, fuse: bool) -> None:
    """Every iteration once and in turn (P4), on the tiles that it means (P6), none beyond the ends (P11, P12).

    What a statement leaves behind identifies the iteration: all inputs differ, and so do the rows of the results.
    """
    program = prepared(program)
    out = software_pipeline(program.kernel, form=form, fuse_barrier=fuse)
    assert traced(program, out).by_statement() == traced(program, program.kernel).by_statement()


@law("P5", program=pipelined_kernels(), form=st.sampled_from(FORMS))
def effects_keep_their_order(program: PipelinedKernel, form: str) -> None:
    """Atomics on one element happen in the order of the program, each once an iteration, wherever they stand."""
    program = prepared(program)
    out = software_pipeline(program.kernel, form=form)
    assert traced(program, out).atomics == traced(program, program.kernel).atomics


@law("P10", program=pipelined_kernels(), form=st.sampled_from(FORMS))
def binds_have_the_values_of_their_iterations(program: PipelinedKernel, form: str) -> None:
    """Replayed binds may be evaluated more often, but never for an iteration that does not exist.

    That each use stands behind its definition is checked by `verify`, which runs after the pass.
    """
    program = prepared(program)
    out = traced(program, software_pipeline(program.kernel, form=form)).lets
    for line, values in traced(program, program.kernel).lets.items():
        assert out.get(line, values) == values
    atomics = sum(isinstance(n, AtomicUpdate) for n in walk(program.kernel))
    assert len({n.span.line for n in walk(software_pipeline(program.kernel)) if isinstance(n, AtomicUpdate)}) == atomics


@law("P15", "P17", program=pipelined_kernels(), form=st.sampled_from(FORMS), fuse=st.booleans())
def groups_are_drained_and_never_overwrite_each_other(program: PipelinedKernel, form: str, fuse: bool) -> None:
    """Late completion: the interpreter refuses a write to bytes in flight (P17) and copies left uncommitted (P15)."""
    out = software_pipeline(program.kernel, form=form, fuse_barrier=fuse)
    assert traced(program, out, "late").left == 0


@law("P15", program=pipelined_kernels(), fuse=st.booleans())
def no_group_is_empty(program: PipelinedKernel, fuse: bool) -> None:
    """In the peeled form, where no copy is conditional."""
    assume(program.n is None and not any(isinstance(n, If) for n in walk(program.kernel)))
    out = software_pipeline(program.kernel, form="peeled", fuse_barrier=fuse)
    assert 0 not in traced(program, out, "late").commits


@law("P16", examples=25, program=pipelined_kernels(), fuse=st.booleans())
def no_copy_is_issued_to_what_another_thread_may_still_read(program: PipelinedKernel, fuse: bool) -> None:
    """All passes, 64 threads, in the interpreter that checks races and poisons what is in flight."""
    assume(not any(isinstance(n, AtomicUpdate) for n in walk(program.kernel)))
    launch = replace(program.kernel.launches[0], threads=(64,))
    wide = PipelinedKernel(replace(program.kernel, launches=(launch,)), program.n)
    try:
        lowered = run_pipeline(wide.kernel, pipeline(SM80, {"software-pipeline": {"fuse_barrier": fuse}}))
    except TileError as raised:
        assert raised.code in ("TD0303", "TD0305", "TD0317", "TD0318", "TD0502"), raised
        return
    assert same_results(execute(wide.kernel, wide.n), execute(lowered, wide.n, "late", interp.run))


@law("P21", program=pipelined_kernels(), stages=st.integers(0, 6))
def the_number_of_stages_changes_nothing(program: PipelinedKernel, stages: int) -> None:
    out = software_pipeline(program.kernel, stages=stages)
    assert same_results(execute(program.kernel, program.n), execute(out, program.n))


@law("P18", program=pipelined_kernels())
def no_stages_means_the_loop_as_written(program: PipelinedKernel) -> None:
    out = software_pipeline(program.kernel, stages=0)
    assert not any(isinstance(n, AsyncCommit | AsyncWait) for n in walk(out))
    assert all(b.versions == 1 for b in walk(out) if isinstance(b, Buffer))
    assert traced(prepared(program), numbered(out)).events == traced(prepared(program), numbered(program.kernel)).events


@law(
    "P22",
    examples=100,
    program=pipelined_kernels(shapes=st.sampled_from([TWO_LOOPS, NESTED]), stages=st.integers(1, 4)),
    form=st.sampled_from(FORMS),
)
def two_pipelines_share_their_buffers(program: PipelinedKernel, form: str) -> None:
    out: Kernel = software_pipeline(program.kernel, form=form)
    assert same_results(execute(program.kernel, program.n), execute(out, program.n))


LAWS = laws_of(globals())
