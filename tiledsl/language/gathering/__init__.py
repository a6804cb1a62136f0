"""What T.ws blocks mean together: those that follow each other are programs that run at the same time."""

from __future__ import annotations

from tiledsl.language.gathering.roles import gathered

__all__ = ["gathered"]
