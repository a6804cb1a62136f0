"""One run of a compiled kernel that leaves its arguments as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tiledsl.backends import Backend, run_on_cpu
from tiledsl.compile import Lowered
from tiledsl.cpu.arrays import copies_of, poison
from tiledsl.runtime.arguments import as_array, bind
from tiledsl.runtime.driver import find_driver

Array = np.ndarray[Any, Any]


def run_once(lowered: Lowered, given: Mapping[str, Any], backend: Backend, **how: Any) -> dict[str, Array]:
    """Every tensor by name after a run on copies of `given`; results hold all ones bits before.

    `how` goes to the executions on the CPU. Raises TileError TD06xx where the arguments do not fit, TD08xx for what the
    execution finds, TD0619 where there is no GPU for `Backend.CUDA`.
    """
    bound = bind(lowered.signature, (), copies_of(given))
    for name in bound.results:
        poison(as_array(bound.tensors[name]))
    if backend is Backend.CUDA:
        driver = find_driver()
        assert driver is not None
        lowered.program.launch(driver, bound)
    else:
        run_on_cpu(lowered, bound, backend, **how)
    return {n: as_array(t) for n, t in bound.tensors.items()}
