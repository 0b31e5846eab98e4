"""JSON Schemas (draft 2020-12) of what ``--json`` prints, one for each document.

The keys that a schema requires keep their names and meaning; a document may hold further keys.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NAMES = (
    "bench",
    "bundle",
    "certificate",
    "certificate-compare",
    "certificate-verify",
    "deploy",
    "doctor",
    "info",
    "lint",
    "parity",
    "predict",
    "push",
    "sensitivity",
    "stability",
    "target",
    "targets",
    "trt-check",
    "validate",
)


def load_schema(name: str) -> dict[str, Any]:
    """Return the schema of the command called ``name``, one of `NAMES`."""
    text = (Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
