"""A process that may be killed: what crashes or hangs there harms nobody, and the next task gets a fresh one."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, TypeVar

from tiledsl.errors import TileError

R = TypeVar("R")
_HEADER = 8  # bytes of the length before each message
_TAIL = 2000  # characters of what a process said before it ended
POISONED = "TD0615"  # after an error of the CUDA driver nothing more works in that process


class TimedOut(Exception):
    """The task took longer than it may."""


class Crashed(Exception):
    """The process ended during the task: how, and the last that it said."""


class Isolated:
    """Runs functions that can be imported, one at a time, in another process; a context manager, which ends it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None

    def __enter__(self) -> Isolated:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def call(self, fn: Callable[..., R], *args: Any, timeout: float) -> R:
        """`fn(*args)`. Raises what it raises, TimedOut after `timeout` seconds, Crashed if the process ends."""
        process = self._started()
        late = threading.Event()

        def end() -> None:
            late.set()
            _kill(process)

        timer = threading.Timer(timeout, end)
        timer.start()
        try:
            assert process.stdin is not None and process.stdout is not None
            send(process.stdin, (fn, args, timeout))
            answer = receive(process.stdout)
        except (OSError, EOFError):
            answer = None
        except BaseException:  # the user's Ctrl-C, or what cannot travel
            self.close()
            raise
        finally:
            timer.cancel()
        if answer is None:
            self.close()
            if late.is_set():
                raise TimedOut(f"took longer than {timeout:g} s")
            raise Crashed(self._ended(process))
        good, value = answer
        if good:
            return value  # type: ignore[no-any-return]
        if isinstance(value, TileError) and value.code == POISONED:
            self.close()
        raise value

    def close(self) -> None:
        if self._process is not None:
            _kill(self._process)
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._said = tempfile.TemporaryFile()  # noqa: SIM115, read after the process has ended
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tiledsl.tuning.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=environment,
                start_new_session=True,
            )
        return self._process

    def _ended(self, process: subprocess.Popen[bytes]) -> str:
        code = process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"
        assert self._said is not None
        self._said.seek(0)
        said = self._said.read()[-_TAIL:].decode(errors="replace").strip()
        return f"the process ended with {how}" + (f": {said}" if said else "")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With all that it started, such as a compiler."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def send(pipe: IO[bytes], message: object) -> None:
    data = pickle.dumps(message)
    pipe.write(len(data).to_bytes(_HEADER, "little"))
    pipe.write(data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """The next message. Raises EOFError where the other side has ended."""
    return pickle.loads(_exactly(pipe, int.from_bytes(_exactly(pipe, _HEADER), "little")))


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = pipe.read(count - len(data))
        if not more:
            raise EOFError
        data += more
    return bytes(data)
