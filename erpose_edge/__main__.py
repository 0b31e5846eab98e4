"""``python -m erpose_edge`` is ``erpose-edge``."""

from erpose_edge.cli.app import run

run()
