"""A bar while a search runs, with rich or tqdm where one is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tiledsl.errors import error

Advance = Callable[[str], None]  # one step more is done, and what comes to mind of it


@contextmanager
def progress(title: str, total: int, show: bool | None) -> Iterator[Advance]:
    """`show` None: on a terminal, if there is a package for it. Raises TileError TD0675 for True without one."""
    wanted = sys.stderr.isatty() if show is None else show
    for bar in (_rich, _tqdm) if wanted else ():
        try:
            opened = bar(title, total)
        except ImportError:
            continue
        with opened as advance:
            yield advance
        return
    if show:
        raise error("TD0675")
    yield lambda said: None


def _rich(title: str, total: int) -> AbstractContextManager[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    @contextmanager
    def opened() -> Iterator[Advance]:
        said = TextColumn("{task.fields[said]}")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), said)
        with Progress(*columns, console=Console(file=sys.stderr)) as bar:
            task = bar.add_task(title, total=total, said="")
            yield lambda text: bar.update(task, advance=1, said=text)

    return opened()


def _tqdm(title: str, total: int) -> AbstractContextManager[Advance]:
    from tqdm import tqdm

    @contextmanager
    def opened() -> Iterator[Advance]:
        with tqdm(total=total, desc=title, file=sys.stderr) as bar:

            def advance(text: str) -> None:
                bar.set_postfix_str(text, refresh=False)
                bar.update()

            yield advance

    return opened()
