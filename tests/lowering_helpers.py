from tiledsl.testing.tile_stage import *  # noqa: F403
