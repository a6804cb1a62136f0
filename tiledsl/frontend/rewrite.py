"""Rewrites a kernel function so that its control flow and assignments call `frontend/hooks.py`.

All else stays ordinary Python. Nothing is decided here by the name of a variable: what a construct does is decided when
it is run, by its value. `x = e` becomes `x = hooks.assign(hooks.names("x"), e, "x", lambda: x)`; bodies stay in place,
so Python's scoping stays what it was; nested functions and lambdas are left alone but for their expressions.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from types import CellType, CodeType, FunctionType
from typing import Any

from tiledsl.errors import error
from tiledsl.frontend import hooks
from tiledsl.frontend.source import function_ast, span_of_node
from tiledsl.frontend.syntax import bound_names, fill_locations

HOOKS = "_tiledsl_hooks"
BODY = "_tiledsl_body"
_OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}


def rewritten(fn: FunctionType, scope: Mapping[str, Any]) -> FunctionType:
    """`fn` with its control flow rewritten. `scope` holds names that its annotations may use beside its closure."""
    tree = function_ast(fn)
    file = fn.__code__.co_filename
    definition = _Rewriter(file, _owner(fn)).definition(tree)
    cells = dict(zip(fn.__code__.co_freevars, fn.__closure__ or ()))
    for name, value in scope.items():
        cells.setdefault(name, CellType(value))
    cells[HOOKS] = CellType(hooks)
    # Names become free variables of the definition by being parameters of a function around it.
    around = ast.FunctionDef("_scope", _parameters(sorted(cells)), [definition], [])
    module = ast.Module([ast.copy_location(around, tree)], [])
    fill_locations(module, 1, 0, 1, 0)
    code = _inner(_inner(compile(module, file, "exec"), "_scope"), BODY).replace(co_name=tree.name)
    made = FunctionType(code, fn.__globals__, fn.__name__, fn.__defaults__, tuple(cells[n] for n in code.co_freevars))
    made.__kwdefaults__ = fn.__kwdefaults__
    return made


def _owner(fn: FunctionType) -> str:
    """The class in whose text the function stands, as Python writes it into private names."""
    around = fn.__qualname__.split(".")[-2:-1]
    return around[0].lstrip("_") if around and around[0] != "<locals>" else ""


def _inner(code: CodeType, name: str) -> CodeType:
    return next(c for c in code.co_consts if isinstance(c, CodeType) and c.co_name == name)


def _parameters(names: Sequence[str]) -> ast.arguments:
    return ast.arguments([], [ast.arg(n) for n in names], None, [], [], None, [])


def _targets(target: ast.expr | None) -> ast.expr:
    """The names of an assignment target as a literal: a string, or a tuple of strings; None for no target."""
    if target is None:
        return ast.Constant(None)
    if isinstance(target, (ast.Tuple, ast.List)):
        return ast.Tuple([ast.Constant(_name_of(e)) for e in target.elts], ast.Load())
    return ast.Constant(_name_of(target))


def _name_of(target: ast.expr) -> str:
    return target.id if isinstance(target, ast.Name) and target.id != "_" else "i"


class _Rewriter(ast.NodeTransformer):
    def __init__(self, file: str, owner: str = "") -> None:
        self.file = file
        self.owner = owner
        self.count = 0

    # ---------------------------------------------------------------------------------------------- building blocks

    def temporary(self) -> str:
        self.count += 1
        return f"_tiledsl_{self.count}"

    def call(self, hook: str, *args: ast.expr, at: ast.expr | ast.stmt) -> ast.Call:
        fn = ast.Attribute(ast.Name(HOOKS, ast.Load()), hook, ast.Load())
        return ast.copy_location(ast.Call(fn, list(args), []), at)

    def thunk(self, body: ast.expr) -> ast.Lambda:
        for node in ast.walk(body):
            if isinstance(node, ast.NamedExpr):
                raise error("TD0139", span_of_node(self.file, node))
        return ast.copy_location(ast.Lambda(_parameters([]), body), body)

    def holds(self, name: str) -> ast.Lambda:
        return ast.Lambda(_parameters([]), ast.Name(name, ast.Load()))

    def named(self, hook: str, names: Sequence[str], at: ast.expr | ast.stmt) -> ast.expr:
        return self.call(hook, *(ast.Constant(n) for n in names), at=at)

    def method(self, obj: str, name: str, *args: ast.expr, at: ast.expr | ast.stmt) -> ast.Call:
        fn = ast.Attribute(ast.Name(obj, ast.Load()), name, ast.Load())
        return ast.copy_location(ast.Call(fn, list(args), []), at)

    def each(self, obj: str, method: str, names: Sequence[str], at: ast.expr) -> list[ast.stmt]:
        """`if obj.traced: x = obj.method("x", lambda: x); ...`"""
        if not names:
            return []
        body: list[ast.stmt] = [_put(n, self.method(obj, method, ast.Constant(n), self.holds(n), at=at)) for n in names]
        test = ast.Attribute(ast.Name(obj, ast.Load()), "traced", ast.Load())
        return [ast.If(test, body, [])]

    def block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        out: list[ast.stmt] = []
        for stmt in body:
            new = self.visit(stmt)
            out.extend(new if isinstance(new, list) else [new])
        return out

    def definition(self, fn: ast.FunctionDef) -> ast.FunctionDef:
        arguments = fn.args
        for arg in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
            if arg is not None:
                arg.annotation = None
        arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]
        arguments.kw_defaults = [d and ast.Constant(None) for d in arguments.kw_defaults]
        # Under its own name it would hide what the user's text means by that name.
        new = ast.FunctionDef(BODY, arguments, self.block(fn.body), [])
        return ast.copy_location(new, fn)

    # --------------------------------------------------------------------------------------------------- assignment

    def visit_Assign(self, node: ast.Assign) -> list[ast.stmt]:
        value = self.visit(node.value)
        if len(node.targets) == 1:
            return self.bind(node.targets[0], value, node)
        temporary = self.temporary()
        out: list[ast.stmt] = [ast.copy_location(_put(temporary, value), node)]
        for target in node.targets:
            out += self.bind(target, ast.copy_location(ast.Name(temporary, ast.Load()), node), node)
        return out

    def bind(self, target: ast.expr, value: ast.expr, at: ast.stmt) -> list[ast.stmt]:
        """`target = value`"""
        if isinstance(target, ast.Name):
            return [ast.copy_location(_put(target.id, self.assigned(target.id, value, at)), at)]
        if isinstance(target, ast.Subscript) and not _has_slice(target):
            self.generic_visit(target)
            return [
                ast.copy_location(ast.Expr(self.call("set_item", value, target.value, target.slice, at=target)), at)
            ]
        if not isinstance(target, (ast.Tuple, ast.List)):
            return [ast.copy_location(self.stored(self.visit(target), value, at), at)]
        leaves: list[tuple[ast.expr, str]] = []
        pattern = self.pattern(target, leaves)
        hints = [leaf.id if isinstance(leaf, ast.Name) else "value" for leaf, _ in leaves]
        unpacked = self.call("unpack", self.named("names", hints, at), value, at=at)
        out: list[ast.stmt] = [ast.copy_location(ast.Assign([pattern], unpacked), at)]
        for leaf, temporary in leaves:
            out += self.bind(leaf, ast.copy_location(ast.Name(temporary, ast.Load()), at), at)
        return out

    def stored(self, target: ast.expr, value: ast.expr, at: ast.stmt) -> ast.stmt:
        """`target = value` of a visited target that is neither a name nor an element."""
        if not isinstance(target, ast.Attribute):
            return ast.Assign([target], value)
        hints = self.named("names", [target.attr], at)
        return ast.Expr(self.call("set_attribute", hints, value, target.value, ast.Constant(target.attr), at=target))

    def pattern(self, target: ast.expr, leaves: list[tuple[ast.expr, str]]) -> ast.expr:
        """`target` with a temporary for each leaf."""
        match target:
            case ast.Tuple(elts) | ast.List(elts):
                return ast.Tuple([self.pattern(e, leaves) for e in elts], ast.Store())
            case ast.Starred(value):
                return ast.Starred(self.pattern(value, leaves), ast.Store())
        leaves.append((target, self.temporary()))
        return ast.Name(leaves[-1][1], ast.Store())

    def assigned(self, name: str, value: ast.expr, at: ast.expr | ast.stmt) -> ast.expr:
        return self.call("assign", self.named("names", [name], at), value, ast.Constant(name), self.holds(name), at=at)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        table = ast.Attribute(ast.Name(HOOKS, ast.Load()), "INPLACE", ast.Load())
        fn = ast.Subscript(table, ast.Constant(type(node.op).__name__), ast.Load())
        if not isinstance(node.target, ast.Name):
            self.generic_visit(node)
            target = node.target
            if isinstance(target, ast.Attribute):
                attribute = ast.Constant(target.attr)
                new = self.call("update_attribute", fn, target.value, attribute, node.value, at=target)
                return ast.copy_location(ast.Expr(new), node)
            if not isinstance(target, ast.Subscript) or _has_slice(target):
                return node
            return ast.copy_location(
                ast.Expr(self.call("update_item", fn, target.value, target.slice, node.value, at=target)), node
            )
        name = node.target.id
        old = ast.copy_location(ast.Name(name, ast.Load()), node.target)
        value = ast.copy_location(ast.Call(fn, [old, self.visit(node.value)], []), node)
        return ast.copy_location(_put(name, self.assigned(name, value, node)), node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        if not isinstance(node.target, ast.Name):
            if node.value is None:
                return ast.copy_location(ast.Pass(), node)
            return ast.copy_location(self.stored(self.visit(node.target), self.visit(node.value), node), node)
        name, annotation = node.target.id, node.annotation
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            parsed = ast.parse(annotation.value, mode="eval").body
            annotation = ast.copy_location(parsed, annotation)
        holds = self.holds(name)
        if node.value is None:
            return ast.copy_location(_put(name, self.call("declare", annotation, ast.Constant(name), at=node)), node)
        hints, value = self.named("names", [name], node), self.visit(node.value)
        new = self.call("annotated", hints, self.thunk(annotation), value, ast.Constant(name), holds, at=node)
        return ast.copy_location(_put(name, new), node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.expr:
        new = self.assigned(node.target.id, self.visit(node.value), node)
        return ast.copy_location(ast.NamedExpr(node.target, new), node)

    # -------------------------------------------------------------------------------------------------- expressions

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Python stores `self.__x` of a class C as `_C__x`; out of its class the text says so."""
        self.generic_visit(node)
        if self.owner and node.attr.startswith("__") and not node.attr.endswith("__"):
            node.attr = f"_{self.owner}{node.attr}"
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        first, *rest = (self.visit(v) for v in node.values)
        hook = "and_" if isinstance(node.op, ast.And) else "or_"
        return self.call(hook, first, *(self.thunk(v) for v in rest), at=node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        return self.call("not_", node.operand, at=node) if isinstance(node.op, ast.Not) else node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        test, a, b = self.visit(node.test), self.visit(node.body), self.visit(node.orelse)
        return self.call("conditional", test, self.thunk(a), self.thunk(b), at=node)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        if len(node.ops) == 1:
            return node
        links: list[ast.expr] = [
            ast.Tuple([ast.Constant(_OPERATORS[type(op)]), self.thunk(value)], ast.Load())
            for op, value in zip(node.ops, node.comparators)
        ]
        return self.call("chain", node.left, *links, at=node)

    # ------------------------------------------------------------------------------------------------- control flow

    def visit_If(self, node: ast.If) -> list[ast.stmt]:
        branch, names = self.temporary(), bound_names([*node.body, *node.orelse])
        test = node.test
        start = _put(branch, self.call("Branch", self.visit(test), at=test))
        return [
            start,
            *self.each(branch, "save", names, test),
            ast.If(self.method(branch, "then", at=test), self.block(node.body), []),
            *self.each(branch, "restore", names, test),
            ast.If(self.method(branch, "orelse", at=test), self.block(node.orelse) or [ast.Pass()], []),
            ast.Expr(self.method(branch, "end", at=test)),
            *self.each(branch, "after", names, test),
        ]

    def visit_For(self, node: ast.For) -> list[ast.stmt]:
        loop, names = self.temporary(), bound_names([node.target, *node.body, *node.orelse])
        iterable = self.visit(node.iter)
        if isinstance(iterable, ast.Call):
            iterable.func = self.call("iterator", iterable.func, at=iterable.func)
        has_else = ast.Constant(bool(node.orelse))
        start = _put(loop, self.call("Loop", iterable, _targets(node.target), has_else, at=node.iter))
        runs = ast.copy_location(ast.Name(loop, ast.Load()), node.iter)
        return [
            start,
            *self.each(loop, "carried", names, node.iter),
            ast.copy_location(
                ast.For(self.visit(node.target), runs, self.block(node.body), self.block(node.orelse)), node
            ),
            ast.Expr(self.method(loop, "end", at=node.iter)),
            *self.each(loop, "after", names, node.iter),
        ]

    def visit_While(self, node: ast.While) -> list[ast.stmt]:
        loop, names = self.temporary(), bound_names(node.body)
        used = {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}
        endless = ast.Constant(isinstance(node.test, ast.Constant) and bool(node.test.value))
        test = self.method(loop, "test", self.thunk(self.visit(node.test)), at=node.test)
        test.keywords = [ast.keyword(n, self.holds(n)) for n in names if n in used]
        body = [*self.each(loop, "carried", names, node.test), *self.block(node.body)]
        return [
            _put(loop, self.call("WhileLoop", endless, ast.Constant(bool(node.orelse)), at=node.test)),
            ast.copy_location(ast.While(test, body, self.block(node.orelse)), node),
            ast.Expr(self.method(loop, "end", at=node.test)),
            *self.each(loop, "after", names, node.test),
        ]

    def visit_Break(self, node: ast.Break) -> ast.stmt:
        return ast.copy_location(ast.If(self.call("leave", ast.Constant("break"), at=node), [node], []), node)

    def visit_Continue(self, node: ast.Continue) -> ast.stmt:
        return ast.copy_location(ast.If(self.call("leave", ast.Constant("continue"), at=node), [node], []), node)

    def visit_Return(self, node: ast.Return) -> ast.stmt:
        value = self.visit(node.value) if node.value else ast.copy_location(ast.Constant(None), node)
        return ast.copy_location(ast.Return(self.call("returned", value, at=node)), node)

    def visit_With(self, node: ast.With) -> ast.stmt:
        for item in node.items:
            targets = _targets(item.optional_vars)
            item.context_expr = self.call("context", self.visit(item.context_expr), targets, at=item.context_expr)
        node.body = self.block(node.body)
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        message = self.visit(node.msg) if node.msg else ast.copy_location(ast.Constant(None), node)
        return ast.copy_location(
            ast.Expr(self.call("check", self.visit(node.test), self.thunk(message), at=node)), node
        )

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.stmt:
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt:
        return node


def _has_slice(target: ast.Subscript) -> bool:
    parts = target.slice.elts if isinstance(target.slice, ast.Tuple) else [target.slice]
    return any(isinstance(p, (ast.Slice, ast.Starred)) for p in parts)


def _put(name: str, value: ast.expr) -> ast.Assign:
    return ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], value), value)
