"""What a kernel costs, without a GPU: resources, accesses to memory, operations, machine code, and a roofline."""

from __future__ import annotations

from tiledsl.report.report import EntryReport, Report, report

__all__ = ["EntryReport", "Report", "report"]
