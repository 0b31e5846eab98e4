"""The registry of devices on the workstation: read from YAML, checked, and explained to people."""

from __future__ import annotations

from erpose_edge.deploy.registry.load import load_registry

__all__ = ["load_registry"]
