"""Plans pass their independent verifiers, on random programs: the verifiers raise no false alarm, and find what is
wrong with a plan where the values that a run happens to meet would hide it."""

from __future__ import annotations

from hypothesis import strategies as st

from tiledsl.ir.nodes import Kernel
from tiledsl.passes.guard_bounds import guard_bounds
from tiledsl.passes.insert_barriers import insert_barriers
from tiledsl.passes.software_pipeline import software_pipeline
from tiledsl.passes.vectorise import vectorise
from tiledsl.target import target_named
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.strategies.barriers import BarrierProgram, barrier_programs
from tiledsl.testing.strategies.pipelines import PipelinedKernel, pipelined_kernels
from tiledsl.testing.strategies.threads import thread_kernels
from tiledsl.verifiers.barriers import verify_barriers
from tiledsl.verifiers.bounds import verify_bounds
from tiledsl.verifiers.pipeline import verify_pipeline
from tiledsl.verifiers.vectors import verify_vectors

SM80 = target_named("sm_80")
FORMS = ["auto", "peeled", "rolled", "guarded"]


@law("P3", "P6", "P13", examples=25, program=pipelined_kernels(), fuse=st.booleans(), form=st.sampled_from(FORMS))
def pipelines_pass_their_verifier(program: PipelinedKernel, fuse: bool, form: str) -> None:
    after = software_pipeline(program.kernel, form=form, fuse_barrier=fuse)
    verify_pipeline(program.kernel, after, sizes=(9,))


@law("S10", "S11", "S12", program=barrier_programs())
def barriers_pass_their_verifier(program: BarrierProgram) -> None:
    verify_barriers(program.kernel, insert_barriers(program.kernel))


@law("S2", "S14", "S4", "S5", kernel=thread_kernels())
def guards_and_vectors_pass_their_verifiers(kernel: Kernel) -> None:
    guarded = guard_bounds(kernel)
    verify_bounds(kernel, guarded)
    verify_vectors(guarded, vectorise.bind(SM80)(guarded))


LAWS = laws_of(globals())
"""All laws of this room."""
