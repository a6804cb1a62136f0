"""Operations on fragments, all on lists of digits: canonical form, dimensions dropped, added, exchanged, replication.

A rule that needs digits per dimension cuts those that cross a boundary (`layout.split_digits`); where a digit cannot be
cut the operation returns None and the caller chooses another layout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import gcd, prod

from tiledsl.ir.layout import Digit, Fragment, dim_of, split_digits


def merge(digits: Sequence[Digit]) -> tuple[Digit, ...]:
    """The same number system with the fewest digits: neighbours that continue each other joined, extent 1 dropped."""
    out: list[Digit] = []
    for d in digits:
        if d.extent == 1:
            continue
        if out and out[-1].stride == d.stride * d.extent and (d.stride or not out[-1].stride):
            out[-1] = Digit(out[-1].extent * d.extent, d.stride)
        else:
            out.append(d)
    return tuple(out)


def canonical(f: Fragment) -> Fragment:
    """Equal for fragments that are the same map; idempotent."""
    return Fragment(f.shape, merge(f.threads), merge(f.regs))


def same_map(a: Fragment, b: Fragment) -> bool:
    """Whether both put every element into the same register of the same threads, replicas in the same order."""
    return canonical(a) == canonical(b)


def _per_dim(f: Fragment) -> Fragment | None:
    """`f` with digits that stay inside one dimension each."""
    threads, regs = split_digits(f.threads, f.shape), split_digits(f.regs, f.shape)
    return None if threads is None or regs is None else Fragment(f.shape, threads, regs)


def is_separable(f: Fragment) -> bool:
    """Whether every digit stays inside one dimension, once cut: what `reduce_dim` and `permute_dims` need."""
    return _per_dim(f) is not None


def _restride(digits: Sequence[Digit], old: Sequence[int], step: Callable[[int], int]) -> tuple[Digit, ...]:
    """Each digit's stride inside its dimension, times the new step of that dimension; step 0 makes a replica."""
    out: list[Digit] = []
    for d in digits:
        dim, count = dim_of(d, old) if d.stride else (0, 0)
        out.append(Digit(d.extent, count * step(dim)))
    return tuple(out)


def _steps(shape: Sequence[int]) -> list[int]:
    return [prod(shape[i + 1 :]) for i in range(len(shape))]


def reduce_dim(f: Fragment, dim: int) -> Fragment | None:
    """The fragment of a tile without `dim`: thread digits along it become replicas in place, its registers merge.

    Each element is then held by every thread that held one of the elements along `dim` (algorithms.md A.4).
    None if the digits cannot be cut at the dimensions.
    """
    if (cut := _per_dim(f)) is None:
        return None
    shape = f.shape[:dim] + f.shape[dim + 1 :]
    steps = _steps(shape)
    steps.insert(dim, 0)
    kept = [d for d in cut.regs if d.stride and dim_of(d, f.shape)[0] != dim]
    return canonical(
        Fragment(shape, _restride(cut.threads, f.shape, steps.__getitem__), _restride(kept, f.shape, steps.__getitem__))
    )


def thread_digits_along(f: Fragment, dim: int) -> tuple[tuple[int, int], ...]:
    """(extent, distance in thread number) of the thread digits along `dim`, most significant first.

    These are the butterflies of a reduction over `dim`. Raises ValueError if the digits cannot be cut.
    """
    if (cut := _per_dim(f)) is None:
        raise ValueError(f"the digits of {f} cross the dimensions of {f.shape}")
    out: list[tuple[int, int]] = []
    distance = 1
    for d in reversed(cut.threads):
        if d.stride and d.extent > 1 and dim_of(d, f.shape)[0] == dim:
            out.append((d.extent, distance))
        distance *= d.extent
    return tuple(reversed(out))


def expand_dim(f: Fragment, dim: int, extent: int = 1) -> Fragment | None:
    """The fragment of a tile with a new dimension at `dim`, all of whose elements a thread holds in registers."""
    if not f.shape:
        return canonical(Fragment((extent,), tuple(Digit(d.extent, 0) for d in f.threads), (Digit(extent, 1),)))
    if (cut := _per_dim(f)) is None:
        return None
    shape = f.shape[:dim] + (extent,) + f.shape[dim:]
    steps = _steps(shape)
    own = steps.pop(dim)
    # The new digit is the outermost one if it comes first, else the innermost: rows stay together in registers.
    new = (Digit(extent, own),) if extent > 1 else ()
    regs = _restride(cut.regs, f.shape, steps.__getitem__)
    threads = _restride(cut.threads, f.shape, steps.__getitem__)
    return canonical(Fragment(shape, threads, new + regs if dim == 0 else regs + new))


def permute_dims(f: Fragment, order: Sequence[int]) -> Fragment | None:
    """The fragment of the tile whose dimension i is dimension `order[i]` of f's."""
    if tuple(order) == tuple(range(len(f.shape))):
        return f
    cut = _per_dim(f)
    if cut is None or f.is_ragged:
        return None
    shape = tuple(f.shape[d] for d in order)
    steps = _steps(shape)

    def step(dim: int) -> int:
        return steps[tuple(order).index(dim)]

    return canonical(Fragment(shape, _restride(cut.threads, f.shape, step), _restride(cut.regs, f.shape, step)))


def reshape(f: Fragment, shape: Sequence[int]) -> Fragment:
    """The same storage seen with another shape of equal size: nothing moves."""
    if prod(shape) != prod(f.shape):
        raise ValueError(f"{f.shape} and {tuple(shape)} differ in size")
    return replace(f, shape=tuple(shape))


def replicate(f: Fragment, times: int, inner: bool = False) -> Fragment:
    """`times` as many threads, each run of which holds the tile; the new digit is outermost, or innermost."""
    new = () if times == 1 else (Digit(times, 0),)
    return replace(f, threads=f.threads + new if inner else new + f.threads)


def repeat(f: Fragment, times: Sequence[int], on_threads: bool = False, last_fastest: bool = True) -> Fragment | None:
    """The tile repeated `times` along each dimension, in further registers or (on_threads) in further threads.

    Repetitions are numbered outside of f's own digits, the last dimension fastest or the first.
    """
    if (cut := _per_dim(f)) is None or f.is_ragged:
        return None
    shape = tuple(t * s for t, s in zip(times, f.shape, strict=True))
    steps = _steps(shape)
    new = tuple(Digit(t, s * step) for t, s, step in zip(times, f.shape, steps))
    new = new if last_fastest else new[::-1]
    threads = _restride(cut.threads, f.shape, steps.__getitem__)
    regs = _restride(cut.regs, f.shape, steps.__getitem__)
    return canonical(Fragment(shape, (new if on_threads else ()) + threads, (() if on_threads else new) + regs))


def dereplicate(f: Fragment) -> Fragment:
    """Fewer registers for fewer owners: as much as divides both moves from the registers into the replica digits.

    Owners are a subset of f's. Only a replica digit that the registers' outermost digit can fill is used.
    """
    out = canonical(f)
    for i, d in enumerate(out.threads):
        if d.stride or not out.regs:
            continue
        top = out.regs[0]
        times = gcd(d.extent, top.extent)
        if times > 1:
            inner = top.extent // times
            threads = (Digit(d.extent // times, 0), Digit(times, top.stride * inner))
            return canonical(
                Fragment(
                    f.shape, out.threads[:i] + threads + out.threads[i + 1 :], (Digit(inner, top.stride), *out.regs[1:])
                )
            )
    return out


def vector_width(f: Fragment) -> int:
    """The number of consecutive elements of the last dimension that lie in consecutive registers, aligned likewise."""
    regs = merge(f.regs)
    if not regs or regs[-1].stride != 1:
        return 1
    last = f.shape[-1] if f.shape else 1
    return gcd(regs[-1].extent, last)


def separable_partition(shape: Sequence[int], threads: int, width: int = 1, lanes: int = 0) -> Fragment:
    """Threads dealt to the dimensions from the last on, as many as divide each; those left over hold replicas.

    Exact for every shape and number of threads, and separable: what a reduction can work on where `layout.partition`
    would cross rows. `width` must divide the last extent.
    """
    shape = tuple(shape)
    steps = _steps(shape)
    thread_digits: list[Digit] = []
    reg_digits: list[Digit] = [Digit(width, 1)]
    left = threads
    for dim in reversed(range(len(shape))):
        inner = width if dim == len(shape) - 1 else 1
        count = shape[dim] // inner
        room = gcd(left, lanes) if lanes and dim == len(shape) - 1 else left
        dealt = gcd(room, count)
        left //= dealt
        thread_digits.append(Digit(dealt, inner * steps[dim]))
        reg_digits.append(Digit(count // dealt, inner * dealt * steps[dim]))
    thread_digits.append(Digit(left, 0))
    return canonical(Fragment(shape, tuple(reversed(thread_digits)), tuple(reversed(reg_digits))))
