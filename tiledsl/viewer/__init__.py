"""Pages to look at: how a kernel was compiled (`trace`), and one block's run on the CPU device (`timeline`).

What a page shows is gathered by pure functions into frozen dataclasses (`trace_of`, `timeline_of`); templates render
them into one HTML file that needs no network. Rendering needs the packages of the extra `trace`; gathering does not.
"""
