"""Certificates as one page for people: verdict, tables, charts, and how it was measured."""

from erpose_edge.deploy.report.page import report_of

__all__ = ["report_of"]
