"""Pages with commands: their files are written, their commands run, and what they print is compared.

A file of the page is a code block with `<!-- file: NAME -->` above it. A command is a line of a `console` block that
begins with `$ `, followed by what it prints; there `...` stands for any text, also of several lines.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from unittest import mock

from tiledsl.cli import main

ROOT = Path(__file__).parents[2]

_PART = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```|```console\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class File:
    name: str
    text: str


@dataclass(frozen=True)
class Command:
    line: str
    output: str


def parts(page: str) -> list[File | Command]:
    """The files and commands of a page in order."""
    found: list[File | Command] = []
    for name, text, console in _PART.findall(page):
        if name:
            found.append(File(name, text))
        for block in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", console, re.MULTILINE):
            found.append(Command(*block))
    return found


def play(part: File | Command, folder: Path) -> str:
    """Write the file, or run the command in `folder` as a reader would; what it prints, both streams in order.

    `tiledsl` runs in this process, which saves its start; anything else through the shell.
    """
    if isinstance(part, File):
        (folder / part.name).write_text(part.text)
        return ""
    kept = {
        n: v for n, v in os.environ.items() if not n.startswith("TILEDSL_") or n in ("TILEDSL_CACHE_DIR", "TILEDSL_CXX")
    }
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    env = {**kept, "PATH": path, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    words = shlex.split(part.line)
    own = list(takewhile(lambda w: re.match(r"\w+=", w), words))
    if words[len(own)] != "tiledsl":
        command = ["sh", "-c", part.line]
        ran = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return _shown(ran.stdout, folder)
    printed = io.StringIO()
    with (
        mock.patch.dict(os.environ, {**env, **dict(w.split("=", 1) for w in own)}, clear=True),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        main(words[len(own) + 1 :])
    return _shown(printed.getvalue(), folder)


def _shown(text: str, folder: Path) -> str:
    """What a page shows of it: without spaces at ends of lines, and the folder as `...`."""
    return "".join(f"{line.rstrip()}\n" for line in text.replace(str(folder), "...").splitlines())


def agrees(expected: str, actual: str) -> bool:
    """Whether `actual` is `expected`, where `...` is any text."""
    return re.fullmatch(re.escape(expected).replace(r"\.\.\.", ".*?"), actual, re.DOTALL) is not None


def rewritten(page: str, outputs: dict[str, str]) -> str:
    """The page with what the commands print now."""
    for part in parts(page):
        if isinstance(part, Command) and part.line in outputs:
            page = page.replace(f"$ {part.line}\n{part.output}", f"$ {part.line}\n{outputs[part.line]}")
    return page
