"""Two thread-stage kernels do the same: both are run on tokens, and leave the same in every tensor."""

from __future__ import annotations

from collections.abc import Callable

from tiledsl.errors import VerifyError
from tiledsl.ir.nodes import For, Kernel, Launch, Var, Vectorized
from tiledsl.ir.walk import same, statements
from tiledsl.verifiers.threads import ThreadMachine
from tiledsl.verifiers.watch import Watcher
from tiledsl.verifiers.world import GivenUp, World, worlds

MakeWatcher = Callable[[Kernel, World], Watcher]


def verify_same(before: Kernel, after: Kernel, law: str, why: str, watch: MakeWatcher) -> None:
    """Raises VerifyError `law` where the kernels differ, and what the watcher of the second one raises."""
    for old, new in zip(before.launches, after.launches, strict=True):
        unchanged = old.body is new.body or same(old, new)
        # Loops over lanes are not cut, and so not what they become: the order of places may be another within them.
        vectors = frozenset(s.var for s in statements(old) if isinstance(s, For) and isinstance(s.kind, Vectorized))
        for world in worlds(before, old):
            try:
                found = run(after, new, world, watch(after, world), vectors)
                expected = found if unchanged else run(before, old, world, Watcher(), vectors)
            except GivenUp:
                continue
            if different := expected.memory.difference(found.memory):
                name = different[0].partition("#")[0]
                raise VerifyError(
                    f"{law}: element {different[1]} of '{name}' is another one than before: {why}", new.span
                )
            if expected.effects != found.effects:
                raise VerifyError(f"{law}: prints, asserts or calls are others than before: {why}", new.span)


def run(kernel: Kernel, launch: Launch, world: World, watch: Watcher, whole: frozenset[Var]) -> ThreadMachine:
    machine = ThreadMachine(kernel, launch, world, watch, data=True, whole=whole)
    machine.run()
    return machine
