#!/usr/bin/env python3
r"""Measure weights with ``erpose-edge validate`` and write the table of docs/model-card.md.

Every row is one run of the command that stands below the table. fp32 and int8 (fake-quantized) run
in torch, on generated people and on the label files that are given.

    python scripts/model_card.py [--data NAME LABELS IMAGES]... [--input-size H W]... \
        [--float WEIGHTS] [--int8 WEIGHTS] [--count N] [--document FILE]

Paths in the document are shortened to their last two parts: no folder of a machine goes in.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from measured_block import ROOT, replace_block, table

sys.path.insert(0, str(ROOT))

from erpose_edge import __version__
from erpose_edge.cli.validate import METRICS
from erpose_edge.resources import find_resource

_HEADINGS = ["data", "images", "people", "input", "precision", *METRICS.values()]


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write the block."""
    options = _parser().parse_args(arguments)
    files = {"fp32": find_resource("weights", options.float)}
    if options.int8 != "none":
        files["int8"] = find_resource("weights", options.int8)
    sets: list[tuple[str, list[str]]] = [("generated people", ["--count", str(options.count)])]
    sets += [
        (name, ["--data", labels, "--images", images]) for name, labels, images in options.data
    ]
    rows, commands = [], []
    for name, data in sets:
        for size in options.input_size or [[640, 640]]:
            for precision, weights in files.items():
                command = ["validate", str(weights), "--precision", precision, *data]
                command += ["--input-size", *map(str, size)]
                rows.append(_row(name, size, precision, _erpose(*command)))
                commands.append("erpose-edge " + shlex.join(map(_short, command)))
    lines = [*_facts(files), "", *table(_HEADINGS, rows, left=1), "", "Measured with:", ""]
    replace_block(options.document, "measured", [*lines, "```text", *commands, "```"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure the weights of the model card.")
    parser.add_argument("--float", default="erpose-n", help="float weights, path or bundled name")
    parser.add_argument(
        "--int8", default="erpose-n-qat", help="quantized weights, or `none` to leave int8 out"
    )
    parser.add_argument(
        "--data", nargs=3, action="append", default=[], metavar=("NAME", "LABELS", "IMAGES")
    )
    parser.add_argument(
        "--input-size", nargs=2, type=int, action="append", metavar=("HEIGHT", "WIDTH")
    )
    parser.add_argument("--count", type=int, default=128, help="generated scenes")
    parser.add_argument("--document", type=Path, default=ROOT / "docs" / "model-card.md")
    return parser


def _row(name: str, size: list[int], precision: str, found: dict[str, Any]) -> list[str]:
    counts = [str(found["images"]), str(found["people"])]
    metrics = [f"{found[key]:.3f}" if found[key] >= 0 else "-" for key in METRICS]
    return [name, *counts, f"{size[0]} x {size[1]}", precision, *metrics]


def _facts(files: dict[str, Path]) -> list[str]:
    rows = []
    for precision, path in files.items():
        info = _erpose("info", "--weights", str(path))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(
            [
                path.name,
                precision,
                f"{info['parameters']:,}",
                f"{info['gflops']:.2f} at {info['input_size'][0]} x {info['input_size'][1]}",
                f"{path.stat().st_size / 1e6:.2f}",
                f"`{digest[:16]}`",
            ]
        )
    headings = ["file", "measured as", "parameters", "GFLOPs", "MB", "sha256 (first 16)"]
    versions = f"erpose-edge {__version__}, torch {version('torch')}, numpy {version('numpy')}."
    return [*table(headings, rows, left=2), "", versions]


def _erpose(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "erpose_edge", *arguments, "--json"]
    done = subprocess.run(command, cwd=Path.cwd(), stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(done.returncode)  # the command has said why
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _short(argument: str) -> str:
    path = Path(argument)
    if path.suffix == ".safetensors":
        return path.stem if path.parent.name == "weights" else path.name
    return "/".join(path.parts[-2:]) if path.is_absolute() else argument


if __name__ == "__main__":
    main()
