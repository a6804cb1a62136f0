"""The features of the language by section, each with its words and tests: the status in docs/language.md."""

from tiledsl.tools.features.model import Feature, Section
from tiledsl.tools.features.numbers import NUMBERS, TYPES
from tiledsl.tools.features.programs import CALLS, DEBUGGING, FRONTEND, LAYOUTS
from tiledsl.tools.features.roles import PIPELINES, ROLES
from tiledsl.tools.features.structure import LAUNCH, LOOPS, MEMORY
from tiledsl.tools.features.tiles import TILES

SECTIONS: tuple[Section, ...] = (
    *(LAUNCH, MEMORY, LOOPS, TILES, NUMBERS, TYPES, FRONTEND, LAYOUTS, PIPELINES, ROLES, DEBUGGING, CALLS),
)

__all__ = ["SECTIONS", "Feature", "Section"]
