"""Words of the language that are not there yet. Using one is an error that names it."""

from __future__ import annotations

from tiledsl.frontend.source import fail

_LATER = "this word is planned; see docs/language.md"
_ATOM = "instructions are chosen by T.gemm and T.copy"
_BLACKWELL = "tensor memory is not there yet"

UNSUPPORTED: dict[str, str] = {
    **dict.fromkeys(("mma_gemm_blockscaled",), _ATOM),
    **dict.fromkeys(("tcgen05_gemm", "alloc_tmem", "deallocate_tmem", "alloc_descriptor"), _BLACKWELL),
    "prim_func": "decorate with @tiledsl.kernel",
}


def reject(word: str, **options: object) -> None:
    """Raises TileError TD0103 for an option of `word` that is given but not supported yet."""
    for name, value in options.items():
        if value is not None and value is not False:
            raise fail("TD0103", word=f"{word}(..., {name}=)", hint="leave the option away")
