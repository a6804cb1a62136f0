"""What a kernel costs, without a GPU: registers, shared memory, occupancy, bank conflicts, machine code."""

from __future__ import annotations

from tiledsl.report.report import EntryReport, Report, report

__all__ = ["EntryReport", "Report", "report"]
