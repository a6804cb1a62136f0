"""docs/language.md, made from the docstrings: `python -m tiledsl.tools.language_docs > docs/language.md`."""

from __future__ import annotations

import inspect
from typing import Any

import tiledsl.language as T
from tiledsl.frontend import proxies
from tiledsl.frontend.proxies import TypeWord
from tiledsl.language.unsupported import UNSUPPORTED
from tiledsl.tools.features import SECTIONS, Feature

_INTRODUCTION = """# The language

`import tiledsl` and `import tiledsl.language as T`. This page is made from the docstrings of the words;
`tests/unit/tools/test_language_docs.py` holds it current.

## Kernels

`@tiledsl.kernel` decorates a Python function, which is run once under tracing. Its parameters are

- **tensors**, annotated `A: T.Tensor((M, K), T.float16)` with sizes from the enclosing scope (*closure style*), or
  declared in the body after `M, K = T.const("M, K")`, which binds the sizes from the arguments of the call (*constant
  style*); a size of `T.dynamic("m")` is known only when the kernel runs;
- **run-time scalars**, annotated `n: T.int32`;
- **compile-time parameters**, everything else: they specialise the kernel by their value.

`with T.Kernel(...)` opens a launch; several of them in one function are launched in order. In constant style `C =
T.empty(shape, dtype)` with `return C` makes a result.

## Control flow and names

`if`, `for`, `while`, `and`, `or`, `not`, chained comparisons, `a if c else b`, `assert` and assignment look at their
value: a Python value takes Python's way at trace time, a traced one builds the program of the kernel. All else is
ordinary Python at trace time: closures, comprehensions, f-strings, helper functions. A helper that branches on traced
values is a `@T.macro`.

- `range(...)` in a `for` statement is a serial loop of the kernel; a `for` over a list or any other iterable runs at
  trace time.
- `x = expr` binds an immutable value, named after `x`; binding it again makes a fresh one. A name that is bound under
  run-time control flow cannot be used after it, nor in a loop before the iteration binds it: `T.alloc_var` makes a
  variable, to which `v = expr` stores.
- An expression that has no name is evaluated where it is used. It is an error to use one whose memory was written
  since.
- `break` and `continue` work in serial loops, `return` only outside run-time control flow.
- Loops may have any start and any constant step.

## Tensors

`A[i, j]` is an element, `A[a:b, :]` and `A[i]` are parts; negative constants count from the end. The extents of parts
are constants; their offsets need not be. A part of a global tensor may reach over its end: what is read there is 0
(or `T.annotate_safe_value`), what is written there is dropped.

A tensor or tile of `T.int4`, `T.uint4` or `T.float4_e2m1fn` has its numbers two to a byte, the one at an even place of
a row in the low four bits. Shapes and indices count numbers; its argument is an array of uint8 with rows half as long,
as `tiledsl.nibbles.pack` makes it. An element is read as an int8, a uint8 or a float16. No element is stored alone:
T.copy from a tile of another dtype rounds and packs (towards zero and to the nearest end for integers of floats, modulo
16 for integers of integers; to nearest even, at most 6, for float4_e2m1fn), T.copy to one unpacks, T.fill, T.clear and
T.view know them as well. Other words take none (TD0290).
"""

EXAMPLE_PROGRAM = """import tiledsl
import tiledsl.language as T

M = N = K = 1024

@tiledsl.kernel
def program(
    A: T.Tensor((M, K), T.float16), B: T.Tensor((K, N), T.float16), C: T.Tensor((M, N), T.float32),
    X: T.Tensor((N,), T.float32), Y: T.Tensor((N,), T.float32), counts: T.Tensor((N,), T.int32),
    i: T.int32, j: T.int32, k: T.int32, n: T.int32, x: T.float32, y: T.float32, z: T.float32, w: T.uint32,
):
    with T.Kernel(N // 64, M // 64, threads=128) as (bx, by):
        A_shared = T.alloc_shared((64, 32), T.float16)
        B_shared = T.alloc_shared((32, 64), T.float16)
        C_shared = T.alloc_shared((64, 64), T.float32)
        C_local = T.alloc_fragment((64, 64), T.float32)
        row = T.alloc_fragment((64,), T.float32)
        bar = T.alloc_barrier(128)
        ...
"""

_EXAMPLES = f"""# Words

Each word has examples in its description, which `tests/unit/language/test_docstring_examples.py` traces. Their names
are those of this program, in which most of them stand at the dots; others name what they are about, as the results of
words beside them.

```python
{EXAMPLE_PROGRAM}```

What is wrong with a use of a word is a TileError with the place in your text, and `tiledsl explain CODE` says more. A
description names the codes that the word has for its own operands. Any word can raise TD0104 outside of a kernel,
TD0105 outside of a T.Kernel block if it needs one, TD0103 for an option that is not there yet, TD0235 for an operand
that is no tensor, and TD0129 if it works on whole tiles and stands in a T.Parallel loop.
"""

_STATUS = """# What is there

Every feature of the language, with the tests that hold it: of the values that it gives, in the executions on the CPU,
and of the instructions that it becomes, where it has its own. `tests/unit/tools/test_language_features.py` holds this
table: each word and each test exists.
"""

_SECTIONS = (
    ("annotations", "Tensors and sizes"),
    ("launch", "Launch, questions, annotations"),
    ("hints", "How it is compiled and launched"),
    ("memory", "Memory"),
    ("loops", "Loops"),
    ("tile_schedulers", "Schedulers of tiles"),
    ("tiles", "Tiles"),
    ("roles", "Roles of warpgroups"),
    ("schedules", "Schedules of roles"),
    ("barriers", "Barriers in shared memory"),
    ("asynchrony", "Asynchronous work"),
    ("clusters", "Clusters of blocks"),
    ("copy_engine", "The copy engine by its parts"),
    ("grids", "All blocks of a grid"),
    ("dependence", "Launches that follow each other"),
    ("reductions", "Reductions"),
    ("reducers", "Accumulating over loops and threads"),
    ("atomics", "Atomic updates"),
    ("scalars", "Numbers"),
    ("mathematics", "Mathematics"),
    ("directed", "Arithmetic with a direction of rounding"),
    ("pairs", "Arithmetic on pairs"),
    ("random", "Random numbers"),
    ("widths", "Accesses of a width"),
    ("warps", "Warps"),
    ("layouts", "Layouts"),
    ("instructions", "Single instructions"),
    ("warpgroups", "Single instructions of warpgroups"),
    ("emitters", "Products written out"),
    ("macros", "Macros"),
    ("externs", "The user's own CUDA functions"),
    ("debug", "Looking, promising, synchronising"),
)


def language_page() -> str:
    """The text of docs/language.md."""
    words = {name: getattr(T, name) for name in T.__all__}
    parts = [_INTRODUCTION, "## Numbers and dtypes\n", _rules(), "", _dtypes(words), ""]
    parts.append(_EXAMPLES)
    for module, title in _SECTIONS:
        rows = [_row(name, word) for name, word in words.items() if _module(word) == module]
        parts += [f"## {title}\n", "| word | meaning |", "|---|---|", *rows, ""]
    parts += [
        "# Not there yet\n",
        "Using one of these is an error TD0103 that names it.\n",
        "| word | instead |",
        "|---|---|",
    ]
    reasons: dict[str, list[str]] = {}
    for name, reason in UNSUPPORTED.items():
        reasons.setdefault(reason, []).append(f"`T.{name}`")
    parts += [f"| {', '.join(names)} | {reason} |" for reason, names in reasons.items()]
    parts += ["", _STATUS]
    for section in SECTIONS:
        parts += [
            f"## {section.title}\n",
            "| feature | words | there | its values | its instructions |",
            "|---|---|---|---|---|",
        ]
        parts += [*map(_feature, section.features), ""]
    parts.pop()
    return "\n".join(parts) + "\n"


def _feature(feature: Feature) -> str:
    """One line of the status: the words, what is missing of them, and the tests by file and name."""
    names = [*(f"`{w}`" for w in feature.words), *(f"*{w} is missing*" for w in feature.missing)]
    meaning, instruction = (", ".join(map(_shown_test, t)) for t in (feature.meaning, feature.instruction))
    return f"| {feature.name} | {' '.join(names)} | {feature.status} | {meaning} | {instruction} |"


def _shown_test(name: str) -> str:
    """A test as the page has it: a case by its own name, others by file and function."""
    file, _, function = name.partition("::")
    case = function.partition("[")[2].rstrip("-]")
    return f"[{case or function or file.rsplit('/', 1)[1]}](../{file})"


def _rules() -> str:
    """What the docstring of the arithmetic says."""
    text = inspect.getdoc(proxies) or ""
    return text.split("\n\n", 1)[1]


def _dtypes(words: dict[str, Any]) -> str:
    names: dict[str, list[str]] = {}
    for name, word in words.items():
        if isinstance(word, TypeWord):
            names.setdefault(word.name, []).append(name)
    shown = [f"`T.{n}`" + "".join(f" (`T.{a}`)" for a in aliases if a != n) for n, aliases in names.items()]
    return "Dtypes are written as words, as strings, or as dtypes of torch and NumPy: " + ", ".join(sorted(shown)) + "."


def _module(word: Any) -> str:
    home = getattr(word, "__module__", "") or ""
    return "" if isinstance(word, TypeWord) else home.removeprefix("tiledsl.language.")


def _row(name: str, word: Any) -> str:
    """One line of a table: the signature, and the docstring as one paragraph."""
    text = inspect.getdoc(word) or ""
    meaning = " ".join(text.replace("|", "\\|").split())
    return f"| `T.{name}{_signature(word)}` | {meaning} |"


def _signature(word: Any) -> str:
    if not callable(word) or (isinstance(word, type) and not _own_init(word)):
        return ""
    parameters: list[str] = []
    keywords_only = False
    for p in inspect.signature(word).parameters.values():
        if p.kind is p.KEYWORD_ONLY and not keywords_only and not any(q[0] == "*" for q in parameters):
            parameters.append("*")
        keywords_only = keywords_only or p.kind is p.KEYWORD_ONLY
        star = "*" if p.kind is p.VAR_POSITIONAL else ""
        default = "" if p.default is p.empty else f"={getattr(p.default, 'name', None) or repr(p.default)}"
        parameters.append(f"{star}{p.name}{default}")
    return f"({', '.join(parameters)})"


def _own_init(word: type) -> bool:
    return "__init__" in vars(word)


if __name__ == "__main__":
    print(language_page(), end="")
