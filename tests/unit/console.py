"""Pages with commands: their files are written, their commands run, and what they print is compared.

A file of the page is a code block with `<!-- file: NAME -->` above it. A command is a line of a `console` block that begins
with `$ `, followed by what it prints; there `...` stands for any text, also of several lines.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

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
    """Write the file, or run the command in `folder` as a reader would; what it prints, both streams in order."""
    if isinstance(part, File):
        (folder / part.name).write_text(part.text)
        return ""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    kept = {n: v for n, v in os.environ.items() if not n.startswith("TILEDSL_") or n == "TILEDSL_CACHE_DIR"}
    root = str(Path(__file__).parents[2])
    env = {**kept, "PATH": path, "PYTHONPATH": root, "COLUMNS": "120", "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        part.line, shell=True, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return "\n".join(line.rstrip() for line in ran.stdout.splitlines()) + "\n" if ran.stdout else ""


def agrees(expected: str, actual: str) -> bool:
    """Whether `actual` is `expected`, where `...` is any text."""
    return re.fullmatch(re.escape(expected).replace(r"\.\.\.", ".*?"), actual, re.DOTALL) is not None


def rewritten(page: str, outputs: dict[str, str]) -> str:
    """The page with what the commands print now."""
    for part in parts(page):
        if isinstance(part, Command) and part.line in outputs:
            page = page.replace(f"$ {part.line}\n{part.output}", f"$ {part.line}\n{outputs[part.line]}")
    return page
