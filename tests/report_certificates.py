"""Certificates to draw a report from: one with sensors, one without and of another target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scripted_latency import SUMMARY, scripted_run, steady
from scripted_latency import document as scenario_document
from small_certificate import latency, write_certificate

SECONDS = 10
_AT = [1_000_000_000 + n * 500_000_000 for n in range(2 * SECONDS)]
SERIES: dict[str, Any] = {
    "at_ns": _AT,
    "temperatures_c": {
        "cpu-thermal": [50.0 + n if n != 7 else None for n in range(len(_AT))],
        "gpu-thermal": [45.0 + n / 2 for n in range(len(_AT))],
    },
    "clocks_mhz": {"fastest cpu clock": [1500.0] * len(_AT)},
    "power_mw": [None] * len(_AT),
}


def with_sensors(folder: Path) -> Path:
    """Write a certificate whose int8 was watched by sensors for ten seconds."""
    folder.mkdir()
    run = scripted_run("single-stream", steady, seconds=float(SECONDS))
    watched = {"telemetry": {"summary": SUMMARY, "series": SERIES}}
    times = {name: latency(speed) for name, speed in (("int8", 1.0), ("fp32", 2.0))}
    times["int8"]["scenarios"]["single-stream"] = scenario_document(run, **watched)
    return write_certificate(folder, latency=times)


def failed(folder: Path, name: str = '<script>alert(1)</script> & "co"') -> Path:
    """Write one of a target with a hostile name, that misses its budget."""
    folder.mkdir()
    return write_certificate(folder, target=name, budget={"max_p99_ms": 1.0})
