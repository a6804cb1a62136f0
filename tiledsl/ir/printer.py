"""IR to text, the inverse of `parser`. Names are chosen here, so equal kernels print equally in every process.

The form of each node is in docs/ir.md and, as rules, in grammar.lark. Here are kernels, launches and the statements
that have blocks; all others are in `print_forms`, expressions in `print_expr`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiledsl.ir.concurrent import Role, Roles
from tiledsl.ir.literals import layout_text, options, string, word
from tiledsl.ir.names import Names
from tiledsl.ir.nodes import Block, Buffer, Expr, For, If, Kernel, Launch, Serial, Stmt, While
from tiledsl.ir.print_expr import ExprPrinter
from tiledsl.ir.print_forms import FORMS
from tiledsl.ir.tile import Parallel


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a kernel's text and what it belongs to; `closes`: it ends a block of `node` and begins no statement."""

    text: str
    node: Kernel | Launch | Stmt
    closes: bool = False


def lines(node: Kernel | Launch | Stmt) -> tuple[Line, ...]:
    """The text form line by line: `text` is these joined."""
    printer = _Printer(Names())
    match node:
        case Kernel():
            return tuple(printer.kernel(node))
        case Launch():
            return tuple(printer.launch(node, ""))
    return tuple(printer.stmt(node, ""))


def text(node: Kernel | Launch | Stmt | Expr) -> str:
    """The text form. That of a kernel ends with a newline, holds every field that compares, and parses back."""
    if isinstance(node, Expr):
        return ExprPrinter(Names()).expr(node)
    end = "\n" if isinstance(node, Kernel) else ""
    return "\n".join(line.text for line in lines(node)) + end


# -------------------------------------------------------------------------------------------------------- printer


class _Printer(ExprPrinter):
    # ---- statements

    def nested(self, of: Stmt, head: str, block: Block, indent: str) -> list[Line]:
        """`head`, the statements of `block`, and the brace that closes it."""
        inner = indent + "  "
        inside = [line for s in block for line in self.stmt(s, inner)]
        return [Line(f"{indent}{head} {{", of), *inside, Line(f"{indent}}}", of, closes=True)]

    def stmt(self, s: Stmt, indent: str) -> list[Line]:
        match s:
            case For(var, extent, body, kind):
                how = "" if isinstance(kind, Serial) else f" {type(kind).__name__.lower()}{options(kind)}"
                head = f"for {self.var(var)} in {self.expr(extent, 0, var.dtype)}{how}"
                return self.nested(s, head, body, indent)
            case While(cond, body):
                return self.nested(s, f"while {self.expr(cond)}", body, indent)
            case If(cond, then, orelse):
                first = self.nested(s, f"if {self.expr(cond)}", then, indent)
                if len(orelse) == 1 and isinstance(orelse[0], If):
                    return _joined(first, " else ", self.stmt(orelse[0], indent))
                return _joined(first, " ", self.nested(s, "else", orelse, indent)) if orelse else first
            case Roles(roles):
                inner = indent + "  "
                inside = [line for r in roles for line in self.nested(s, self.role(r), r.body, inner)]
                return [Line(f"{indent}roles {{", s), *inside, Line(f"{indent}}}", s, closes=True)]
            case Parallel(variables, extents, body, _, layout):
                box = ", ".join(f"{self.var(v)} in {n}" for v, n in zip(variables, extents))
                where = f" layout {layout_text(layout)}" if layout else ""
                return self.nested(s, f"parallel{options(s)} {box}{where}", body, indent)
        form = FORMS.get(type(s))
        if form is None:
            raise TypeError(f"no text form for {type(s).__name__}")
        return [Line(f"{indent}{form(self, s)}", s)]

    def role(self, r: Role) -> str:
        return f"role {word(r.name)}{options(r)} {self.var(r.thread)}"

    # ---- whole kernels

    def launch(self, launch: Launch, indent: str) -> list[Line]:
        inner = indent + "  "
        grid = ", ".join(f"{self.var(v)} in {self.expr(n, 0, v.dtype)}" for v, n in zip(launch.blocks, launch.grid))
        threads = f"threads({self.var(launch.thread)} in {', '.join(map(str, launch.threads))})"
        parts = [f"launch {word(launch.name)}({grid})", threads]
        parts += [f"cluster({', '.join(map(str, launch.cluster))})"] if launch.cluster else []
        parts += [f"raster{options(launch.raster)}"] if launch.raster else []
        parts += [f"min_blocks({launch.min_blocks})"] if launch.min_blocks else []
        parts += [f"registers({', '.join(map(str, launch.registers))})"] if launch.registers else []
        parts += [f"shared_bytes({launch.shared_bytes})"] if launch.shared_bytes else []
        parts += [f"entry({word(launch.entry)})"] if launch.entry else []
        table: list[str] = []
        for a in launch.layouts:
            why = "" if a.why == "user" else f" why {string(a.why)}"
            table.append(f"layout {self.names.of(a.buffer)} = {layout_text(a.layout)}{why}")
        table += [
            f"safe {self.names.of(v.buffer)} = {self.expr(v.value, 0, v.buffer.dtype)}" for v in launch.safe_values
        ]
        table += [f"handover({h.depth}) {', '.join(map(self.names.of, h.tiles))}" for h in launch.handovers]
        table += [f"persist {self.names.of(p.buffer)} = {p.ratio!r}" for p in launch.persisting]
        table += [f"slot {self.names.of(s.buffer)} = {s.offset}" for s in launch.shared]
        return [
            Line(f"{indent}{' '.join(parts)} {{", launch),
            *(Line(inner + row, launch) for row in table),
            *(line for s in launch.body for line in self.stmt(s, inner)),
            Line(f"{indent}}}", launch, closes=True),
        ]

    def kernel(self, k: Kernel) -> list[Line]:
        sizes = f"<{', '.join(map(self.var, k.sizes))}>" if k.sizes else ""
        params = ", ".join(self.buffer(p) if isinstance(p, Buffer) else self.var(p) for p in k.params)
        results = f" -> {', '.join(map(self.names.of, k.results))}" if k.results else ""
        head = [f"kernel {word(k.name)}{sizes}({params}){results} {{"]
        head += [f"  source {string(k.source)}"] if k.source else []
        head += [f"  flags {', '.join(map(string, k.flags))}"] if k.flags else []
        head += [f"  overlapping {', '.join(map(self.names.of, k.overlapping))}"] if k.overlapping else []
        head += [f"  pointers {', '.join(map(self.names.of, k.pointers))}"] if k.pointers else []
        head += [f"  scratch {self.buffer(b)}" for b in k.scratch]
        inside = [line for launch in k.launches for line in self.launch(launch, "  ")]
        return [*(Line(row, k) for row in head), *inside, Line("}", k, closes=True)]


def _joined(first: list[Line], between: str, second: list[Line]) -> list[Line]:
    """The last line of `first` and the first of `second` are one: `} else {`, or `} else if` where another begins."""
    last, head = first[-1], second[0]
    line = Line(last.text + between + head.text.lstrip(), head.node, closes=head.node is last.node)
    return [*first[:-1], line, *second[1:]]
