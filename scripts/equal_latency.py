#!/usr/bin/env python3
r"""AP and latency of several networks at several input sizes, timed in turns on OpenVINO.

What is worth having is what finds more at the same latency, so sizes are chosen such that the
latencies meet. Writes a table into docs/decisions.md.

    python scripts/equal_latency.py --data LABELS IMAGES \
        --candidate erpose-n 320 --candidate erpose-n-mobile 224 ... [--write]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from measured_block import ROOT, replace_block, table

sys.path.insert(0, str(ROOT))

from erpose_edge.exporters.artifact_export import ExportRequest, export_artifact
from erpose_edge.metrics.labels import read_labels
from erpose_edge.network.checkpoint import load_weights
from erpose_edge.resources import find_resource
from erpose_edge.runtime.estimator import PoseEstimator
from erpose_edge.validate.accuracy import SCORE_THRESHOLD, evaluate_estimator, labelled_files
from erpose_edge.validate.latency import example_frame, interleaved

_HEADINGS = ["weights", "input", "precision", "ms end to end, p50", "AP", "AP50"]
_TARGET = "openvino-cpu"
_SECONDS = 10.0  # of timing, for each candidate


def main(arguments: list[str] | None = None) -> None:
    """Measure every candidate and print the table."""
    parser = argparse.ArgumentParser(description="AP and latency of networks, timed in turns.")
    parser.add_argument("--data", nargs=2, required=True, metavar=("LABELS", "IMAGES"))
    parser.add_argument(
        "--candidate", nargs=2, action="append", required=True, metavar=("WEIGHTS", "SIZE")
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write docs/decisions.md")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        estimators = {
            (name, int(size)): _exported(name, int(size), Path(folder), options.threads)
            for name, size in options.candidate
        }
        timed = interleaved(estimators, example_frame(), seconds=_SECONDS)
        labels = read_labels(options.data[0])
        rows = []
        for (name, size), estimator in estimators.items():
            estimator.score_threshold = SCORE_THRESHOLD
            samples = labelled_files(labels, options.data[1])
            found = evaluate_estimator(estimator, samples, labels.skeleton).metrics
            precision = estimator.artifact.manifest.precision if estimator.artifact else ""
            latency = timed[name, size].end_to_end_ms.p50
            numbers = (f"{latency:.1f}", f"{found.ap:.3f}", f"{found.ap50:.3f}")
            rows.append([name, f"{size} x {size}", precision, *numbers])
    first = next(iter(timed.values()))
    lines = [
        *table(_HEADINGS, rows, left=3),
        "",
        f"{len(labels.images)} images; {first.engine}, threads: {options.threads}, "
        f"{first.cpu.model}; all timed in turns, from a photograph of 640 x 480.",
    ]
    if any(latency.unstable for latency in timed.values()):
        lines.append("The machine was busy: only the ratios of the latencies mean something.")
    sys.stdout.write("\n".join(lines) + "\n")
    if options.write:
        replace_block(ROOT / "docs" / "decisions.md", "equal-latency", lines)


def _exported(name: str, size: int, folder: Path, threads: int) -> PoseEstimator:
    """Return the artifact of a weights file: int8 of quantized weights, fp32 of float ones."""
    weights = load_weights(find_resource("weights", name))
    precision = "fp32" if weights.kind == "float" else "int8"
    request = ExportRequest(_TARGET, "openvino", precision, input_size=(size, size))
    place = folder / f"{Path(name).stem}-{size}-{precision}"
    return PoseEstimator(export_artifact(weights, request, place), threads=threads)


if __name__ == "__main__":
    main()
