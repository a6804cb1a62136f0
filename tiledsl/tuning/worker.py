"""`python -m tiledsl.tuning.worker`: the other end of `Isolated`, one task after the other until its input ends."""

from __future__ import annotations

import faulthandler
import os
import sys
from typing import Any

from tiledsl.tuning.isolated import receive, send

_GRACE = 30.0  # seconds after its time in which a task ends though nobody is there any more to kill it


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what kernels print is no answer
    while True:
        try:
            fn, args, timeout = receive(sys.stdin.buffer)
        except EOFError:
            return
        faulthandler.dump_traceback_later(timeout + _GRACE, exit=True)
        answer: tuple[bool, Any]
        try:
            answer = True, fn(*args)
        except Exception as problem:
            answer = False, problem
        faulthandler.cancel_dump_traceback_later()
        try:
            send(answers, answer)
        except Exception as problem:  # it cannot travel
            send(answers, (False, RuntimeError(f"{type(answer[1]).__name__}: {answer[1]} ({problem})")))


if __name__ == "__main__":
    main()
