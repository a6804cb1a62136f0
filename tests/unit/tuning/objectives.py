"""Objectives with made-up times, and tasks that misbehave: imported by the process that can be killed, too."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiledsl.compile import Lowered
from tiledsl.tuning import Measured
from tiledsl.tuning.isolated import Isolated


def threads_of(lowered: Lowered) -> int:
    return lowered.source.entries[0].threads


def misbehave(threads: int, how: str) -> float:
    """Milliseconds by the number of threads; or what kernels do on a GPU now and then."""
    match how:
        case "hang":
            time.sleep(1000)
        case "crash":
            os.abort()
        case "exit":
            print("the last words")
            os._exit(3)
        case "raise":
            raise ValueError("no luck")
    return 1000.0 / threads


def pid(_: object = None) -> int:
    return os.getpid()


def echo(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class MadeUp:
    """More threads, less time; `how` misbehaves, by the number of threads. `log` gets a line for each measurement."""

    log: Path
    how: Mapping[int, str] = field(default_factory=dict)
    what: str = "made-up milliseconds"
    backend: str = "simt"
    hardware: str = "none"

    def depends_on(self) -> Mapping[str, object]:
        return {"made up": self.hardware}

    def measure(
        self, lowered: Lowered, inputs: str, sizes: Mapping[str, int], process: Isolated, timeout: float
    ) -> Measured:
        threads = threads_of(lowered)
        with self.log.open("a") as file:
            print(threads, dict(sizes), file=file)
        ms = process.call(misbehave, threads, self.how.get(threads, ""), timeout=timeout)
        return Measured(ms, ms, ms)
