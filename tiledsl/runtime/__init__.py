"""From CUDA text to a running kernel: NVRTC, cache, driver, arguments. Imports no IR."""
