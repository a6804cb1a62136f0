"""What must hold of what the host is told: launches of the user's text, overlapping tensors, windows of the cache."""

from __future__ import annotations

from tiledsl.ir.foreign import require_call
from tiledsl.ir.nodes import Buffer, Kernel, Launch
from tiledsl.ir.scopes import fail


def require_host(kernel: Kernel, launch: Launch) -> None:
    """Raises VerifyError unless the host knows everything that the launch names."""
    require_call(kernel, launch)
    tensors = [b for b in (*kernel.params, *kernel.scratch) if isinstance(b, Buffer)]
    for b in kernel.overlapping:
        if b not in tensors:
            raise fail(f"'{b.name}' may overlap others, but is no parameter")
    for b in kernel.pointers:
        if b not in kernel.params:
            raise fail(f"'{b.name}' is to be passed as a pointer, but is no parameter")
    if len(launch.persisting) > 1:
        raise fail(f"'{launch.name}' has {len(launch.persisting)} windows of the L2 cache; a launch has one")
    for p in launch.persisting:
        if p.buffer not in tensors or not 0 < p.ratio <= 1:
            raise fail(f"'{launch.name}' asks the L2 cache to keep {p.ratio} of '{p.buffer.name}'")
