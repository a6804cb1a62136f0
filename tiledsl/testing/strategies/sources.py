"""The kernels of `tiledsl/testing/programs/` as source text: what `mutated_sources` starts from."""

from __future__ import annotations

from importlib import resources

from tiledsl.testing import programs

SOURCES: dict[str, str] = {
    file.name.removesuffix(".py"): file.read_text(encoding="utf-8")
    for file in sorted(resources.files(programs).iterdir(), key=lambda file: file.name)
    if file.name.endswith(".py") and not file.name.startswith("_")
}
