"""The table of features is true: its words exist, its tests exist, and every word of the language is in it."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import tiledsl
import tiledsl.language as T
from tiledsl import decorator
from tiledsl.language.unsupported import UNSUPPORTED
from tiledsl.tools.features import SECTIONS, Feature
from tiledsl.tools.features.model import there

ROOT = Path(__file__).parents[3]
FEATURES = [f for s in SECTIONS for f in s.features]


def problems(feature: Feature) -> list[str]:
    """What is not true of it."""
    out = [f"{w} does not exist" for w in feature.words if not exists(w)]
    out += [f"{w} is not refused" for w in feature.missing if w.removeprefix("T.") not in UNSUPPORTED]
    out += [f"{t} does not exist" for t in (*feature.meaning, *feature.instruction) if not is_defined(t)]
    if feature.outside and (feature.words or feature.meaning):
        out.append("it is outside and there")
    if feature.words and not feature.meaning:
        out.append("no test holds its meaning")
    if not (feature.outside or feature.meaning or feature.missing):
        out.append("nothing is said of it")
    return out


def exists(name: str) -> bool:
    first, *rest = name.split(".")
    found = (
        T
        if first == "T"
        else tiledsl
        if first == "tiledsl"
        else getattr(decorator, first, getattr(tiledsl, first, None))
    )
    if first == "T" and rest[0] not in T.__all__ and not hasattr(T, rest[0]):
        return False
    for part in rest:
        fields = getattr(found, "__dataclass_fields__", {})
        if not hasattr(found, part) and part not in fields:
            return False
        found = getattr(found, part, None)
    return True


@cache
def functions(file: Path) -> set[str]:
    return {n.name for n in ast.parse(file.read_text()).body if isinstance(n, ast.FunctionDef)}


def is_defined(test: str) -> bool:
    """Whether the file has the function. Its cases are collected below."""
    file, _, function = test.partition("::")
    path = ROOT / file
    return path.is_file() and (not function or function.partition("[")[0] in functions(path))


def is_skipped(test: str) -> bool:
    """Whether the whole file needs a package that is not here."""
    needed = re.findall(
        r'^(?:\w+ = )?pytest\.importorskip\("([\w.]+)"', (ROOT / test.partition("::")[0]).read_text(), re.M
    )
    return any(importlib.util.find_spec(package) is None for package in needed)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: re.sub(r"\W+", "-", f.name))
def test_every_feature_is_as_it_says(feature: Feature) -> None:
    assert problems(feature) == []


def test_every_word_belongs_to_a_feature() -> None:
    named = {w.split(".")[1] for f in FEATURES for w in (*f.words, *f.missing) if w.startswith("T.")}
    assert named - set(T.__all__) - set(UNSUPPORTED) == set()
    assert set(T.__all__) - named == set()
    assert set(UNSUPPORTED) - named - OUTSIDE == set()


# Refused with a hint, and outside of the language.
OUTSIDE = {"tcgen05_gemm", "alloc_tmem", "deallocate_tmem", "alloc_descriptor", "mma_gemm_blockscaled", "prim_func"}


def test_every_test_is_collected() -> None:
    """pytest finds each case that the table names, and no more is asked of it here."""
    wanted = sorted({t for f in FEATURES for t in (*f.meaning, *f.instruction) if not is_skipped(t)})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "--full", "-p", "no:cacheprovider", *wanted]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        (there("a word that is not there", "coppy", "v:bits"), "does not exist"),
        (
            there("a test that is not there", "copy", "unit/tools/test_language_features.py::test_none"),
            "does not exist",
        ),
        (there("a file that is not there", "copy", "unit/test_none.py"), "does not exist"),
        (there("no test", "copy", ""), "no test holds"),
        (there("missing and there", "copy", "v:bits", missing="gemm"), "is not refused"),
        (there("nothing", "", ""), "nothing is said"),
    ],
    ids=lambda x: x.name if isinstance(x, Feature) else "",
)
def test_what_is_not_true_is_noticed(feature: Feature, said: str) -> None:
    assert any(said in p for p in problems(feature))
