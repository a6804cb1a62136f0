"""`python -m tiledsl` is the command `tiledsl`."""

from __future__ import annotations

import sys

from tiledsl.cli import main

sys.exit(main())
