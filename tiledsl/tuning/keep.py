"""Results on disk: of whole searches, by what was searched for, and of single candidates, by their code.

A search that is interrupted goes on where it was, and one more configuration costs one measurement.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tiledsl.cache import store
from tiledsl.cache.upkeep import stored
from tiledsl.errors import TileError, error
from tiledsl.tuning.result import Outcome, Status, TuningResult

_FILE = "result.json"
_KEPT = (Status.MEASURED, Status.WRONG)  # another time, what was slow or crashed may not be


def key_of(about: Mapping[str, Any]) -> str:
    """Raises TileError TD0673 for what is no plain data."""
    try:
        return store.key_of(json.dumps(about, sort_keys=True))
    except TypeError as problem:
        raise error("TD0673", what="what a result depends on", problem=problem) from None


def find_result(about: Mapping[str, Any]) -> TuningResult | None:
    found = store.read("tuning", key_of(about))
    if found is None:
        return None
    try:
        return TuningResult.from_json(found[_FILE])
    except TileError:  # of another version
        return None


def keep_result(result: TuningResult) -> None:
    said = f"{result.kernel} for {result.target}: {result.best.ms:.4g} ms, {result.objective}"
    store.write("tuning", key_of(result.about), {_FILE: result.to_json().encode()}, said, replace=True)


def find_outcome(key: str, config: Mapping[str, object]) -> Outcome | None:
    """What was found of that code before, whatever configuration it came from."""
    found = store.read("measured", key)
    if found is None:
        return None
    try:
        data = json.loads(found[_FILE])
        return Outcome(
            **{**data, "status": Status(data["status"]), "rank": tuple(data["rank"]), "config": dict(config)}
        )
    except (ValueError, TypeError, KeyError):
        return None


def keep_outcome(key: str, kernel: str, outcome: Outcome) -> None:
    if outcome.status in _KEPT:
        data = {**asdict(outcome), "status": outcome.status.value, "config": {}}
        time = f"{outcome.ms:.4g} ms" if outcome.ms is not None else outcome.status.value
        store.write("measured", key, {_FILE: json.dumps(data).encode()}, f"{kernel}: {time}", replace=True)


# ---- files to take along


def results() -> list[TuningResult]:
    """Every result in the cache."""
    found = []
    for entry in stored("tuning"):
        files = store.read("tuning", entry.key)
        if files is not None:
            try:
                found.append(TuningResult.from_json(files[_FILE]))
            except TileError:
                continue
    return sorted(found, key=lambda r: (r.kernel, r.target, r.objective))


def export_results(path: str | Path, kernel: str | None = None) -> int:
    """Write the results in the cache, of one kernel or of all, to a JSON file; how many."""
    chosen = [r.as_data() for r in results() if kernel in (None, r.kernel)]
    Path(path).write_text(json.dumps({"tiledsl results": 1, "results": chosen}, indent=1))
    return len(chosen)


def import_results(path: str | Path) -> list[TuningResult]:
    """Put the results of such a file into the cache. They are found where hardware and arguments are the same.

    Raises TileError TD0673 for a file that is none.
    """
    try:
        data = json.loads(Path(path).read_text())
        listed = data["results"] if data["tiledsl results"] == 1 else []
    except (OSError, ValueError, TypeError, KeyError) as problem:
        raise error("TD0673", what=f"'{path}'", problem=f"{type(problem).__name__}: {problem}") from None
    found = [TuningResult.from_data(r) for r in listed]
    for result in found:
        keep_result(result)
    return found
