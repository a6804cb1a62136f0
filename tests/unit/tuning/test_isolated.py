"""A process that may be killed: answers come back, and what happens to it is told from what it is asked."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from objectives import echo, misbehave, pid

from tiledsl.errors import TileError, error
from tiledsl.tuning.isolated import Crashed, Isolated, TimedOut


def poisoned() -> None:
    raise error("TD0615", status="CUDA_ERROR_ILLEGAL_ADDRESS", text="")


def test_answers_and_what_ends_the_process() -> None:
    with Isolated() as process:
        first = process.call(pid, timeout=60)
        assert first == process.pid != os.getpid()
        big = np.arange(300_000).reshape(3, -1)
        assert (process.call(echo, big, timeout=60) == big).all()
        with pytest.raises(ValueError, match="no luck"):
            process.call(misbehave, 1, "raise", timeout=60)
        with pytest.raises(TileError, match=r"TD0607.*'A'"):
            process.call(_refuse, timeout=60)
        assert process.call(pid, timeout=60) == first, "an error of the task is no reason to start another"
        with pytest.raises(TileError, match="TD0615"):
            process.call(_poisoned, timeout=60)
        second = process.call(pid, timeout=60)
        assert second != first, "after an error of the driver nothing works in a process"
        start = time.monotonic()
        with pytest.raises(TimedOut, match=r"longer than 1 s"):
            process.call(misbehave, 1, "hang", timeout=1)
        assert time.monotonic() - start < 30
        third = process.call(pid, timeout=60)
        assert third != second
        with pytest.raises(Crashed, match="signal SIGABRT" if os.name != "nt" else "status"):
            process.call(misbehave, 1, "crash", timeout=60)
        with pytest.raises(Crashed, match="status 3: the last words"):
            process.call(misbehave, 1, "exit", timeout=60)
        with pytest.raises(Exception, match="pickle"):
            process.call(lambda: None, timeout=60)
        assert process.call(echo, 7, timeout=60) == 7
        last = process.pid
    assert last is not None and process.pid is None
    if os.name != "nt":
        with pytest.raises(ProcessLookupError):
            os.kill(last, 0)


def _refuse() -> None:
    raise error("TD0607", name="A", expected="float16", given="int8")


def _poisoned() -> None:
    poisoned()


def test_the_worker_ends_with_its_input() -> None:
    done = subprocess.run([sys.executable, "-m", "tiledsl.tuning.worker"], input=b"", capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"")
