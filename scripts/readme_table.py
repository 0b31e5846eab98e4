#!/usr/bin/env python3
r"""Write the measured table of the README from what ``deploy`` and ``validate`` have printed.

    python scripts/readme_table.py runs/quickstart/verdict.json \
        [--validate NAME FP32_JSON INT8_JSON]...

The verdict gives AP on its own data, latency, size and processor. Each ``--validate`` adds a column
with the AP of two files of ``erpose-edge validate --json``; every other number is left to the model
card.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from measured_block import ROOT, replace_block, table

_ORDER = ("fp32", "fp16", "mixed", "int8")


def main(arguments: list[str] | None = None) -> None:
    """Read the files and write the block."""
    parser = argparse.ArgumentParser(description="Write the measured table of the README.")
    parser.add_argument("verdict", type=Path, help="verdict.json of a deploy folder")
    parser.add_argument(
        "--validate", nargs=3, action="append", default=[], metavar=("NAME", "FP32", "INT8")
    )
    parser.add_argument("--document", type=Path, default=ROOT / "README.md")
    options = parser.parse_args(arguments)
    verdict = _read(options.verdict)
    columns = [
        (name, {"fp32": _read(Path(fp32)), "int8": _read(Path(int8))})
        for name, fp32, int8 in options.validate
    ]
    replace_block(options.document, "measured", _lines(verdict, columns))


def _lines(
    verdict: dict[str, Any], columns: list[tuple[str, dict[str, dict[str, Any]]]]
) -> list[str]:
    candidates = {row["precision"]: row for row in verdict["candidates"]}
    people = candidates["fp32"]["accuracy"]["people"]
    headings = ["precision", f"AP, {verdict['data']}", "of fp32"]
    headings += [f"AP, {name} ({_counts(found['fp32'])})" for name, found in columns]
    headings += ["infer p50 ms", "end to end p50 ms", "end to end p99 ms", "size MB"]
    rows = []
    for precision in sorted(candidates, key=_ORDER.index):
        row = candidates[precision]
        latency = row["latency"]
        kept = "-" if row["retention"] is None else f"{row['retention']:.1%}"
        others = [f"{f[precision]['ap']:.3f}" if precision in f else "-" for _, f in columns]
        rows.append(
            [
                precision,
                f"{row['ap']:.3f}",
                kept,
                *others,
                f"{latency['infer_ms']['p50']:.1f}",
                f"{latency['end_to_end_ms']['p50']:.1f}",
                f"{latency['end_to_end_ms']['p99']:.1f}",
                f"{row['size_mb']:.1f}",
            ]
        )
    cpu = candidates["fp32"]["latency"]["cpu"]
    engine = candidates["fp32"]["latency"]["engine"]
    notes = [
        f"Target `{verdict['target']}`, verdict **{verdict['verdict']}**, "
        f"chosen: {verdict['chosen'] or 'none'}; {people} people in {verdict['data']}.",
        f"{engine} on {cpu['model']}, {cpu['threads']} threads ({' '.join(cpu['flags'])});",
        "All were timed in turns in one process.",
    ]
    unstable = [p for p, row in candidates.items() if row["latency"]["unstable"]]
    if unstable:
        notes.append(
            f"The machine was busy: the latency of {', '.join(unstable)} varied by more than "
            "2.5 % between turns, so only the ratio means something."
        )
    return [*table(headings, rows), "", *notes]


def _counts(found: dict[str, Any]) -> str:
    return f"{found['images']} images"


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"error: {path}: expected a JSON document, got {error}")
    return document


if __name__ == "__main__":
    main()
