"""What rewritten functions call in place of `if`, `for`, `while`, `break`, `continue`, `with` and `return`.

Under traced control flow a body is run once, so a name that is bound in it means different things on different ways
through the kernel: reading it afterwards, or in a loop before it is bound again, is an error (`Poison`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from tiledsl.errors import NOWHERE, Span
from tiledsl.frontend.binding import Thunk, bind, current, value_of
from tiledsl.frontend.loopspecs import Bound, Box, Counted, LoopSpec, Tiles, normalised
from tiledsl.frontend.proxies import (
    Scalar,
    Variable,
    binary,
    condition,
    describe,
    expr_of,
)
from tiledsl.frontend.source import by_python, fail
from tiledsl.frontend.traced import Poison, Traced
from tiledsl.frontend.tracer import BoxFrame, Frame
from tiledsl.ir.dtypes import INDEX
from tiledsl.ir.nodes import (
    FALSE,
    Break,
    Const,
    Continue,
    Expr,
    For,
    If,
    LoopKind,
    Persistent,
    Serial,
    Stmt,
    Var,
    Vectorized,
    While,
)
from tiledsl.ir.tile import Parallel

_ROUNDS = 10_000  # of a while loop on Python values, after which it is taken to be endless
Targets: TypeAlias = "str | tuple[str, ...]"


class Names:
    """The names that a traced body binds: what they held before, and whether they hold something else now."""

    what = "the block"

    def __init__(self) -> None:
        self.before: dict[str, Any] = {}
        self.changed: set[str] = set()
        self.place: Span = NOWHERE

    def save(self, name: str, old: Thunk) -> Any:
        """Remembers what `name` holds before the body, and returns it; a Poison for nothing."""
        try:
            value = old()
        except NameError:
            value = Poison("TD0133", name=name)
        self.before[name] = value
        return value

    def carried(self, name: str, old: Thunk) -> Any:
        """What `name` holds at the start of an iteration: unknown, but for mutable variables."""
        value = self.save(name, old)
        if isinstance(value, (Variable, Poison)):
            return value
        return Poison("TD0111", self.place, name=name, what=self.what)

    def restore(self, name: str, now: Thunk) -> Any:
        """What `name` held before the body that has just been run."""
        before = self.before[name]
        if not _same(value_of(now), before):
            self.changed.add(name)
        return before

    def after(self, name: str, now: Thunk) -> Any:
        """What `name` holds after the bodies: its old value if none changed it, else a Poison."""
        before = self.restore(name, now)
        return Poison("TD0110", self.place, name=name, what=self.what) if name in self.changed else before


def _same(a: Any, b: Any) -> bool:
    if a is b or (isinstance(a, Poison) and isinstance(b, Poison)):
        return True
    return type(a) is type(b) and isinstance(a, (int, float, str, bool)) and bool(a == b)


# ------------------------------------------------------------------------------------------------------------- if


class Branch(Names):
    """`if test`: `then` and `orelse` say whether to run the bodies; both are run for a traced condition."""

    what = "the 'if'"

    def __init__(self, test: Any) -> None:
        super().__init__()
        self.traced = isinstance(test, Traced)
        self.truth = True if self.traced else by_python(bool, test)
        if self.traced:
            tracer = current()
            self.place = tracer.here()
            if isinstance(test, Poison):
                test.used()
            if not isinstance(test, Scalar):
                raise fail("TD0106", value=describe(test))
            tracer.launch("an 'if' on a traced value")
            self.condition = expr_of(condition(test))
            self.frame = Frame("if", "the 'if'", None, self.place)
            self.blocks: list[tuple[Stmt, ...]] = []

    def then(self) -> bool:
        if self.traced:
            current().open(self.frame)
        return self.truth

    def orelse(self) -> bool:
        if not self.traced:
            return not self.truth
        self.blocks.append(current().close(self.frame))
        self.frame = Frame("if", "the 'else'", None, self.place)
        current().open(self.frame)
        return True

    def end(self) -> None:
        """Emits the statement of a traced condition."""
        if self.traced:
            tracer = current()
            self.blocks.append(tracer.close(self.frame))
            tracer.emit(If(self.condition, *self.blocks, span=self.place))


# ---------------------------------------------------------------------------------------------------------- loops


class Loop(Names):
    """`for target in iterable`: a loop of the kernel for a loop word, else Python's own, unrolled by tracing."""

    def __init__(self, iterable: Any, targets: Targets, has_else: bool = False) -> None:
        super().__init__()
        tracer = current()
        self.place = tracer.here()
        self.traced = isinstance(iterable, LoopSpec)
        self.targets = targets
        self.what = f"the loop over '{targets if isinstance(targets, str) else ', '.join(targets)}'"
        self.run: Iterator[Any]
        if isinstance(iterable, LoopSpec):
            if has_else:
                raise fail("TD0122")
            self.run = self._kernel_loop(iterable)
        else:
            self.run = by_python(iter, iterable)
        self.activation = tracer.activations[-1]
        self.activation.loops.append((self.traced, tracer.frame))

    def __iter__(self) -> Iterator[Any]:
        return self.run

    def _kernel_loop(self, spec: LoopSpec) -> Iterator[Any]:
        """Runs the body once. What is wrong with the loop itself is raised here, before the body runs."""
        tracer = current()
        tracer.launch(spec.word)
        match spec:
            case Counted():
                names = self._names(spec.word, 1)
                start, extent, step = normalised(spec)
                if isinstance(spec.kind, Vectorized) and not isinstance(extent, Const):
                    raise fail("TD0220", word=spec.word, value=describe(spec.stop))
                return self._counted(spec.kind, names[0], start, extent, step)
            case Box():
                if tracer.enclosing("parallel") is not None:
                    raise fail("TD0130")
                return self._box(spec, self._names(spec.word, len(spec.extents)))
            case Tiles():
                return self._dealt(spec, self._names(spec.word, len(spec.domain)))
            case Bound(value):
                return iter([self._values([value] * len(self._names(spec.word, 1)))])
        raise TypeError(f"{type(spec).__name__} is no loop")

    def _names(self, word: str, count: int) -> tuple[str, ...]:
        names = (self.targets,) if isinstance(self.targets, str) else self.targets
        if len(names) == count:
            return names
        if isinstance(self.targets, str):
            return tuple(f"{self.targets}{i}" for i in range(count))
        raise fail("TD0131", given=len(names), what=f"this {word}", count=count)

    def _values(self, values: list[Scalar]) -> Any:
        return values[0] if len(values) == 1 and isinstance(self.targets, str) else tuple(values)

    def _counted(self, kind: LoopKind, name: str, start: int | Scalar, extent: Expr, step: int) -> Iterator[Any]:
        tracer, frame, var = current(), Frame("for", self.what, None, self.place), Var(name, INDEX)
        tracer.open(frame)
        value = Scalar(var, INDEX, frame)
        if step != 1:
            value = binary("*", value, step)
        if isinstance(start, Scalar) or start != 0:
            value = binary("+", start, value)
        yield self._values([value])
        tracer.emit_after(frame, lambda body: For(var, extent, body, kind, span=self.place))

    def _dealt(self, spec: Tiles, names: tuple[str, ...]) -> Iterator[Any]:
        """A loop over the tiles of this block. Where the hardware's blocks are dealt to, the loop says so."""
        tracer, frame = current(), Frame("for", self.what, None, self.place)
        launch = tracer.launch(spec.word)
        by_block = len(launch.grid) == 1 and spec.index is launch.blocks[0] and spec.wave == launch.grid[0]
        var = Var("tile" if by_block else "wave", INDEX)
        kind = Persistent(spec.group) if by_block else Serial()
        extent = spec.count if by_block else (spec.count - spec.index + (spec.wave - 1)) // spec.wave
        tracer.open(frame)
        tile = bind(Scalar(var if by_block else var * spec.wave + spec.index, INDEX, frame), "tile")
        values = [bind(Scalar(e, INDEX, frame), n) for e, n in zip(spec.coordinates(tile.expr), names)]
        yield self._values(values)
        tracer.emit_after(frame, lambda body: For(var, extent, body, kind, span=self.place))

    def _box(self, spec: Box, names: tuple[str, ...]) -> Iterator[Any]:
        tracer, variables = current(), tuple(Var(name, INDEX) for name in names)
        frame = BoxFrame("parallel", self.what, None, self.place, variables=variables, extents=spec.extents)
        tracer.open(frame)
        yield self._values([Scalar(v, INDEX, frame) for v in variables])
        tracer.emit_after(frame, lambda body: Parallel(variables, spec.extents, body, spec.width, span=self.place))

    def end(self) -> None:
        self.activation.loops.pop()


class WhileLoop(Names):
    """`while cond`: traced if the condition is, else Python's own."""

    what = "the 'while' loop"

    def __init__(self, is_constant: bool, has_else: bool) -> None:
        super().__init__()
        tracer = current()
        self.place = tracer.here()
        self.has_else = has_else
        self.frame = Frame("while", self.what, None, self.place)
        self.condition: Expr = FALSE
        if is_constant:
            raise fail("TD0146")
        self.traced = False
        self.rounds = 0
        self.activation = tracer.activations[-1]
        self.activation.loops.append((False, tracer.frame))

    def test(self, cond: Thunk, **assigned: Thunk) -> bool:
        """Whether to run the body (again). `assigned` are the names in the condition that the body binds."""
        tracer = current()
        if self.traced:
            tracer.emit_after(self.frame, lambda body: While(self.condition, body, span=self.place))
            return False
        before = len(tracer.frame.block) if tracer.frame is not None else 0
        value = cond()
        if not isinstance(value, Traced):
            self.rounds += 1
            if self.rounds > _ROUNDS:
                raise fail("TD0118", rounds=_ROUNDS)
            return bool(by_python(bool, value))
        if isinstance(value, Poison):
            value.used()
        tracer.launch("a 'while' on a traced value")
        if self.has_else:
            raise fail("TD0122")
        if tracer.frame is not None and len(tracer.frame.block) != before:
            raise fail("TD0115", construct="the condition of a 'while'")
        for name, thunk in assigned.items():
            if not isinstance(value_of(thunk), Variable):
                raise fail("TD0119", name=name)
        if not isinstance(value, Scalar):
            raise fail("TD0106", value=describe(value))
        self.condition = expr_of(condition(value))
        self.traced = True
        self.activation.loops[-1] = (True, tracer.frame)
        tracer.open(self.frame)
        return True

    def end(self) -> None:
        self.activation.loops.pop()


def leave(word: str) -> bool:
    """`break` or `continue`: whether Python is to do it; else the statement has been built."""
    tracer = current()
    loops = tracer.activations[-1].loops
    if not loops:
        raise fail("TD0108", word=word, where="outside any loop")
    traced, frame = loops[-1]
    if not traced:
        if tracer.frame is not frame:
            raise fail("TD0109", word=word)
        return True
    innermost = tracer.frame
    while innermost is not None and innermost.kind not in ("for", "while", "parallel", "role"):
        innermost = innermost.parent
    if innermost is not None and innermost.kind == "role":
        raise fail("TD0108", word=word, where="in a T.ws block, but its loop is one of all threads")
    if innermost is None or innermost.kind == "parallel":
        raise fail("TD0108", word=word, where="in a T.Parallel loop, whose points have no order")
    statement: Callable[..., Stmt] = Break if word == "break" else Continue
    tracer.emit(statement(span=tracer.here()))
    return False


def returned(value: Any) -> Any:
    """The value of `return`, which must not stand under traced control flow."""
    tracer = current()
    if isinstance(value, Poison):
        value.used()
    frame = tracer.frame
    while frame is not None and frame.kind == "launch":
        frame = frame.parent
    base = tracer.activations[-1].base
    while base is not None and base.kind == "launch":
        base = base.parent
    if frame is not base:
        raise fail("TD0114", what=frame.what if frame is not None else "")
    return value


class NamedContext:
    """A context manager of the language, whose variables take the names of the `as` targets."""

    targets: Targets | None = None


def context(manager: Any, targets: Targets | None) -> Any:
    """The manager of a `with` statement, told the names of its targets."""
    if isinstance(manager, NamedContext):
        manager.targets = targets
    elif isinstance(manager, Poison):
        manager.used()
    return manager
