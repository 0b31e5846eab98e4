#!/usr/bin/env python3
r"""Measure weights with ``erpose-edge validate`` and write the table of docs/model-card.md.

Every row is one run of the command that stands below the table. fp32 and int8 (fake-quantized) run
in torch, on generated people and on the label files that are given. With ``--movenet`` MoveNet
MultiPose is measured beside them, on the same photographs and by the same evaluation.

    python scripts/model_card.py [--data NAME LABELS IMAGES]... [--input-size H W]... \
        [--movenet FILE.tflite] [--float WEIGHTS] [--int8 WEIGHTS] [--count N] [--document FILE]

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

import numpy as np
import openvino
from measured_block import ROOT, replace_block, table
from numpy.typing import NDArray

sys.path.insert(0, str(ROOT))

from erpose_edge import __version__
from erpose_edge.cli.accuracy_table import METRICS
from erpose_edge.metrics.labels import read_labels
from erpose_edge.resources import find_resource
from erpose_edge.runtime.poses import Poses
from erpose_edge.runtime.preprocess import letterbox
from erpose_edge.training.movenet import read_movenet
from erpose_edge.validate.accuracy import evaluate_estimator, labelled_files

_HEADINGS = ["data", "images", "people", "input", "network", *METRICS.values()]


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
            if options.movenet is not None and data[0] == "--data":
                found = _movenet(options.movenet, data[1], data[3], size)
                rows.append(_row(name, size, "MoveNet MultiPose", found))
    lines = [*_facts(files), "", *table(_HEADINGS, rows, left=1), "", "Measured with:", ""]
    replace_block(options.document, "measured", [*lines, "```text", *commands, "```"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure the weights of the model card.")
    parser.add_argument(
        "--float", default="erpose-n-mobile", help="float weights, path or bundled name"
    )
    parser.add_argument(
        "--int8",
        default="erpose-n-mobile-qat",
        help="quantized weights, or `none` to leave int8 out",
    )
    parser.add_argument(
        "--data", nargs=3, action="append", default=[], metavar=("NAME", "LABELS", "IMAGES")
    )
    parser.add_argument(
        "--input-size", nargs=2, type=int, action="append", metavar=("HEIGHT", "WIDTH")
    )
    parser.add_argument("--movenet", type=Path, help="MoveNet MultiPose, to measure beside them")
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


def _movenet(path: Path, labels: str, images: str, size: list[int]) -> dict[str, Any]:
    """Return what `evaluate_estimator` says of MoveNet MultiPose at an input size."""
    found = read_labels(labels)
    result = evaluate_estimator(
        _MoveNet(path, (size[0], size[1])), labelled_files(found, images), found.skeleton
    )
    return result.to_json(found.rejected)


class _MoveNet:
    """MoveNet MultiPose on OpenVINO behind the same letterbox as ours; six people at most."""

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        model = read_movenet(path, "--movenet")
        model.reshape({0: [1, *size, 3]})
        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        self._run = openvino.compile_model(model, "CPU", settings)
        self._size = size

    def __call__(self, frame: NDArray[np.uint8]) -> Poses:
        image, placed = letterbox(frame, self._size)
        found = self._run(image[None, :, :, ::-1].copy())[0].reshape(-1, 56)
        found = found[np.argsort(-found[:, 55], kind="stable")]
        points = found[:, :51].reshape(-1, 17, 3)  # y and x as a share of the side, score
        height, width = self._size
        pixels = np.stack([points[:, :, 1] * width, points[:, :, 0] * height], -1)
        return Poses(
            found[:, 55].astype(np.float32), placed.to_source(pixels), points[:, :, 2].copy()
        )


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
