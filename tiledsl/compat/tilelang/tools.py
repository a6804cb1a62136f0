"""`tilelang.tools`: pictures of layouts. They are SVG documents and text tables; others are an error TD0226."""

from tiledsl.language import plot_layout

__all__ = ["plot_layout"]
