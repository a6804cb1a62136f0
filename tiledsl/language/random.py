"""Random numbers by counting: each is a function of a seed, a sequence and its place in that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import prod
from typing import Any

from tiledsl.frontend.binding import bind
from tiledsl.frontend.proxies import Scalar, Variable, call, cast, describe, scalar
from tiledsl.frontend.source import fail
from tiledsl.frontend.tracer import BoxFrame, Frame, LaunchFrame, Tracer
from tiledsl.ir.dtypes import FLOAT32, FLOAT64, INDEX, UINT32, UINT64
from tiledsl.ir.nodes import Let, Store, Var
from tiledsl.language.launch import this_thread
from tiledsl.language.mathematics import cos, log, sqrt
from tiledsl.language.memory import alloc_var
from tiledsl.language.tiles import begin

_GENERATOR = "curandStatePhilox4_32_10_t"
_OF_POINTS = 1 << 63  # sequences of the points of T.Parallel loops; those of threads have lower numbers


@dataclass(frozen=True, eq=False)
class Stream:
    """What `T.rng_init` said. `of_thread` and `of_points` are the places of the numbers to be drawn next."""

    seed: Scalar
    sequence: Scalar | None
    of_thread: Variable
    of_points: Variable
    frame: Frame


def rng_init(seed: Any, seq: Any = None, off: Any = 0, generator: str = _GENERATOR) -> None:
    """Begins sequences of random numbers: `T.rng_init(42)`. It holds until the block of code that it stands in ends.

    Number n of sequence s is word n % 4 of the block that Philox4x32-10 makes of the counter (n // 4, s) and the key
    `seed`; seed, s and n have 64 bits. So the same numbers come in every execution, and any part of them can be had
    alone: curand's header is not needed, and its state neither. The first number drawn is number `off`.

    Outside of T.Parallel each thread draws its own: s is `seq`, or else the number of the thread in the whole grid. In
    a T.Parallel loop the points draw, in row-major order, whatever threads they are dealt to: point p of a loop of N
    has number n + p of sequence 2**63 + `seq`, or else 2**63 + the number of the block, and the next draw begins N
    later. There seed, `seq` and `off` are to be the same for all threads of the block.

    It differs from curand, whose generators XORWOW and MRG32k3a are refused (TD0226), in that points have their own
    sequences, in the default of `seq` (TileLang counts threads and blocks along x only), and in how floats are made.
    Not in T.Parallel (TD0129). Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    tracer = begin("T.rng_init")
    if generator != _GENERATOR:
        raise fail("TD0226", word="T.rng_init", name="generator", value=describe(generator), allowed=_GENERATOR)
    if tracer.enclosing("parallel") is not None:
        raise fail("TD0129", word="T.rng_init")
    key = bind(_word64("T.rng_init", "seed", seed), "seed")
    sequence = None if seq is None else bind(_word64("T.rng_init", "seq", seq), "sequence")
    first = bind(_word64("T.rng_init", "off", off), "first")
    frame = tracer.frame
    assert frame is not None
    stream = Stream(key, sequence, alloc_var("uint64", first), alloc_var("uint64", first), frame)
    tracer.launch("T.rng_init").random.append(stream)


def _word64(word: str, name: str, value: Any) -> Scalar:
    x = scalar(value, UINT64 if isinstance(value, int) and value >= 0 else None)
    if not x.type.is_integer:
        raise fail("TD0226", word=word, name=name, value=describe(value), allowed="an integer")
    return cast(x, UINT64)


def rng_rand() -> Scalar:
    """The next random number, an uint32 of which all values are as likely. `w = T.rng_rand()`.

    The word draws: two words are two numbers, and what stands in a loop draws in each iteration. Raises TileError
    TD0287 before T.rng_init, TD0288 in a loop inside of a T.Parallel loop.
    """
    word = "T.rng_rand"
    tracer = begin(word)
    launch = tracer.launch(word)
    stream = _stream(launch, word)
    points = tracer.enclosing("parallel")
    if not isinstance(points, BoxFrame):
        position = bind(scalar(stream.of_thread), "position")
        _advance(tracer, stream.of_thread, position, 1)
        sequence = stream.sequence if stream.sequence is not None else cast(_thread_of_grid(launch, word), UINT64)
    else:
        position = _position_of_point(tracer, points, stream, word)
        sequence = stream.sequence if stream.sequence is not None else cast(_block_of_grid(launch), UINT64)
        sequence = sequence | _OF_POINTS
    words = [w for x in (position, sequence, stream.seed) for w in (cast(x, UINT32), cast(x >> 32, UINT32))]
    return bind(call("random_bits", *words), "random")


def _stream(launch: LaunchFrame, word: str) -> Stream:
    """The innermost one whose block has not ended."""
    for stream in reversed(launch.random):
        assert isinstance(stream, Stream)
        if stream.frame.open:
            return stream
    raise fail("TD0287", word=word)


def _advance(tracer: Tracer, counter: Variable, position: Scalar, by: int) -> None:
    tracer.emit(Store(counter.buffer, (), (position + by).expr, span=tracer.here()))


def _position_of_point(tracer: Tracer, points: BoxFrame, stream: Stream, word: str) -> Scalar:
    """The loop counts its points on before it begins; each has the number that is left to it."""
    frame = tracer.frame
    while frame is not points:
        assert frame is not None
        if frame.kind != "if":
            raise fail("TD0288", word=word)
        frame = frame.parent
    assert points.parent is not None
    span, first = tracer.here(), Var("first", UINT64)
    start = Scalar(first, UINT64, points.parent)
    number: Any = 0
    for var, extent in zip(points.variables, points.extents):
        number = number * extent + Scalar(var, INDEX, points)
    points.parent.block += [
        Let(first, scalar(stream.of_points).expr, span=span),
        Store(stream.of_points.buffer, (), (start + prod(points.extents)).expr, span=span),
    ]
    tracer.wrote(stream.of_points.buffer)
    return bind(start + cast(number, UINT64), "position")


def _block_of_grid(launch: LaunchFrame) -> Scalar:
    """The number of the block, x fastest."""
    number: Any = 0
    for block, extent in reversed(list(zip(launch.blocks, launch.grid))):
        number = number * Scalar(extent, INDEX, launch) + Scalar(block, INDEX, launch)
    return scalar(number)


def _thread_of_grid(launch: LaunchFrame, word: str) -> Scalar:
    return scalar(_block_of_grid(launch) * prod(launch.threads) + this_thread(word))


def rng_rand_float(bit: int = 32, dist: str = "uniform") -> Scalar:
    """A random float32, or with `bit` 64 a float64. `Y[i] = T.rng_rand_float()`.

    "uniform": in [0, 1), the high 24 bits of a number by 2**24, or the high 53 bits of two, of which the first one is
    the high word, by 2**53: the same in every execution. curand's are in (0, 1]. "normal", with mean 0 and variance 1:
    sqrt(-2 log(1 - u)) cos(2 pi v) of two uniform ones, u first, as alike as these functions are in the executions.
    Draws as T.rng_rand, once for each number used. Raises TileError TD0226, and those of T.rng_rand.
    """
    word = "T.rng_rand_float"
    for name, value, allowed in (("bit", bit, (32, 64)), ("dist", dist, ("uniform", "normal"))):
        if value not in allowed:
            raise fail("TD0226", word=word, name=name, value=describe(value), allowed=" or ".join(map(str, allowed)))
    if dist == "uniform":
        return _uniform(bit)
    radius, angle = sqrt(log(1 - _uniform(bit)) * -2), cos(_uniform(bit) * (2 * math.pi))
    return bind(radius * angle, "normal")


def _uniform(bit: int) -> Scalar:
    if bit == 32:
        return bind(cast(rng_rand() >> 8, FLOAT32) * 2.0**-24, "uniform")
    high, low = cast(rng_rand(), UINT64), cast(rng_rand(), UINT64)
    return bind(cast((high << 32 | low) >> 11, FLOAT64) * 2.0**-53, "uniform")
