from tiledsl.testing.thread_stage import *  # noqa: F403
