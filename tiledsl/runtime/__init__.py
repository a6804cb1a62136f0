"""From CUDA text to a running kernel: NVRTC, driver, arguments. Imports no IR."""
