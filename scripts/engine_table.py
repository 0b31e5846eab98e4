#!/usr/bin/env python3
r"""One table of fp32, post-training quantization and QAT for every engine that runs here.

    python scripts/engine_table.py --out runs/engine-table.json [--data LABELS IMAGES] \
        [--float WEIGHTS] [--qat WEIGHTS] [--engines openvino,tflite] [--threads 2] [--resume] \
        [--markdown docs/quantization.md]

Rows of an engine: fp32; int8 calibrated by each of our observers, as ``erpose-edge qat --epochs 0``
does it; int8 of the engine's own tool (NNCF for OpenVINO, litert-quantizer for TFLite); int8 of the
QAT weights. Calibration set, policy and input size are those of the QAT weights for all of them.

AP is measured on labelled photographs (``--data``) and on generated scenes (``--count``). Retention
is that of the same engine's fp32 on the same images, with the 95 % interval of a paired bootstrap.
Every artifact of every engine is timed in turns in this one process. A row that its engine refuses
says why. With ``--resume`` finished rows are not exported and measured again; times always are.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine_rows import (
    ENGINES,
    TOOLS,
    VARIANTS,
    Networks,
    export,
    islands,
    load_poses,
    progress,
    save_poses,
)
from measured_block import ROOT, replace_block, table

sys.path.insert(0, str(ROOT))

from erpose_edge.data.generated.people import GeneratedPeople
from erpose_edge.deploy.default import FLOAT_WEIGHTS, QAT_WEIGHTS
from erpose_edge.errors import ExportError, MissingExtraError
from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.metrics.labels import read_labels
from erpose_edge.network.checkpoint import load_weights
from erpose_edge.resources import find_resource
from erpose_edge.runtime.artifact import read_artifact
from erpose_edge.runtime.estimator import PoseEstimator
from erpose_edge.runtime.runner import usable_cores
from erpose_edge.skeleton import Skeleton, skeleton_named
from erpose_edge.validate.accuracy import SCORE_THRESHOLD, evaluate_estimator, labelled_files
from erpose_edge.validate.latency import Latency, interleaved
from erpose_edge.validate.retention import measure_retention

Row = dict[str, Any]

_HEADINGS = ["engine", "network"]
_NUMBERS = ["ms, p50", "times fp32's speed", "model MB", "float islands"]
_BLOCK = "engine-table"


@dataclass(frozen=True)
class Test:
    """What accuracy is measured on: the same for every row.

    Attributes:
        name: Heading of its columns.
        samples: Goes through the images once.
        labels: Of all of them.
        skeleton: Of the labels.
    """

    name: str
    samples: Callable[[], Any]
    labels: list[ImageLabels]
    skeleton: Skeleton


class Journal:
    """Rows as they are finished, in the file of ``--out``; a row is written when it is whole."""

    def __init__(self, path: Path, run: Row, *, resume: bool) -> None:
        self._path = path
        self._run = run
        self.rows: list[Row] = []
        if resume and path.is_file():
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["run"] != run:
                sys.exit(f"error: {path}: expected rows of the same run, got others; "
                         "leave --resume out or give another --out")  # fmt: skip
            self.rows = document["rows"]

    def find(self, engine: str, variant: str) -> Row | None:
        """Return a row that was finished before, or None."""
        rows = (r for r in self.rows if (r["engine"], r["variant"]) == (engine, variant))
        return next(rows, None)

    def add(self, row: Row) -> None:
        """Add a row and write the file."""
        self.rows.append(row)
        self.write()

    def write(self, timing: Row | None = None) -> None:
        """Write the file, with what was noted of the timing."""
        part = self._path.with_name(self._path.name + ".part")
        document = {"run": self._run, "rows": self.rows, "timing": timing}
        part.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        part.replace(self._path)


def main(arguments: list[str] | None = None) -> None:
    """Measure every row, print the table, and write what was asked for."""
    options = _parser().parse_args(arguments)
    folder = options.out.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    reference, qat = (
        load_weights(find_resource("weights", n)) for n in (options.float, options.qat)
    )
    height, width = options.input_size or qat.input_size
    networks = Networks(reference, qat, (height, width), folder)
    tests = _tests(options, skeleton_named(qat.skeleton))
    run = {
        "float_sha256": reference.sha256,
        "qat_sha256": qat.sha256,
        "calibration": qat.config["qat"]["calibration"],
        "input_size": [height, width],
        "tests": [[test.name, len(test.labels)] for test in tests],
    }
    journal = Journal(options.out, run, resume=options.resume)
    wanted = [
        (engine, variant)
        for engine in options.engines
        for variant in options.variants
        if TOOLS.get(variant, engine) == engine
    ]
    for engine, variant in wanted:
        if journal.find(engine, variant) is None:
            journal.add(_row(engine, variant, networks, tests))
    rows = [row for case in wanted if (row := journal.find(*case)) is not None]
    _retentions(rows, tests, folder)
    facts = _time(rows, folder, options.threads, options.seconds)
    journal.write(facts)
    lines = table_lines(rows, [test.name for test in tests], run, facts)
    sys.stdout.write("\n".join(lines) + "\n")
    if options.markdown:
        replace_block(options.markdown, _BLOCK, lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="fp32, PTQ and QAT of every engine in one table.")
    parser.add_argument("--float", default=FLOAT_WEIGHTS, help="float weights, path or name")
    parser.add_argument("--qat", default=QAT_WEIGHTS, help="quantized weights, path or name")
    parser.add_argument("--data", nargs=2, metavar=("LABELS", "IMAGES"), help="photographs")
    parser.add_argument("--limit", type=int, help="of photographs; all by default")
    parser.add_argument("--count", type=int, default=128, help="generated scenes; 0 for none")
    parser.add_argument("--input-size", nargs=2, type=int, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--engines", type=_some(ENGINES), default=list(ENGINES))
    parser.add_argument("--variants", type=_some(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--threads", type=int, default=min(2, usable_cores()))
    parser.add_argument("--seconds", type=float, default=10.0, help="of timing, each artifact")
    parser.add_argument("--out", type=Path, required=True, help="JSON; its folder gets artifacts")
    parser.add_argument("--resume", action="store_true", help="keep the finished rows of --out")
    parser.add_argument("--markdown", type=Path, help="document with the marks of the table")
    return parser


def _some(known: dict[str, str]) -> Callable[[str], list[str]]:
    def chosen(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"expected some of {', '.join(known)}, got {name}")
        return [name for name in known if name in names]

    return chosen


def _tests(options: argparse.Namespace, skeleton: Skeleton) -> list[Test]:
    tests = []
    if options.data:
        labels = read_labels(options.data[0])
        files = labelled_files(labels, options.data[1])[: options.limit]
        pictures = [image for _, image in files]
        tests.append(Test("photographs", lambda: files, pictures, labels.skeleton))
    if options.count:
        people = GeneratedPeople(options.count)
        tests.append(Test("generated", lambda: people, people.labels(), skeleton))
    return tests


def _row(engine: str, variant: str, networks: Networks, tests: list[Test]) -> Row:
    """Export, measure accuracy, and keep the poses; or say why the engine refuses."""
    row: Row = {"engine": engine, "variant": variant, "refused": None, "tests": {}}
    place = networks.folder / f"{engine}-{variant}"
    progress(f"{engine} {variant}")(0, 0)
    try:
        artifact = export(engine, variant, networks, place)
    except (ExportError, MissingExtraError) as error:
        return {**row, "refused": str(error)}
    files = [name for name in artifact.manifest.files if name.startswith("model")]
    row["model_mb"] = sum((place / name).stat().st_size for name in files) / 1e6
    row["islands"] = islands(artifact)
    estimator = PoseEstimator(artifact, score_threshold=SCORE_THRESHOLD)
    for test in tests:
        advance = progress(f"{engine} {variant}, {test.name}")
        found = evaluate_estimator(estimator, test.samples(), test.skeleton, advance)
        save_poses(networks.folder / f"{engine}-{variant}-{test.name}.npz", found.poses)
        row["tests"][test.name] = {
            "ap": found.metrics.ap,
            "people": found.metrics.people,
            "rejected": len(found.rejected),
        }
    return row


def _retentions(rows: list[Row], tests: list[Test], folder: Path) -> None:
    """Compare every row with the fp32 of its engine, where that was measured."""
    measured = {(row["engine"], row["variant"]) for row in rows if row["refused"] is None}
    for row in rows:
        engine, variant = row["engine"], row["variant"]
        if variant == "fp32" or not {(engine, variant), (engine, "fp32")} <= measured:
            continue
        for test in tests:
            reference, own = (
                load_poses(folder / f"{engine}-{name}-{test.name}.npz")
                for name in ("fp32", variant)
            )
            found = measure_retention(test.labels, reference, own, test.skeleton)
            row["tests"][test.name]["retention"] = (
                None if found is None else [found.value, found.low, found.high]
            )


def _time(rows: list[Row], folder: Path, threads: int, seconds: float) -> Row:
    """Time every artifact in turns; return what goes for all of them."""
    measured = [row for row in rows if row["refused"] is None]
    if not measured:
        return {}
    estimators = {
        (row["engine"], row["variant"]): PoseEstimator(
            read_artifact(folder / f"{row['engine']}-{row['variant']}"), threads=threads
        )
        for row in measured
    }
    timed: dict[Any, Latency] = interleaved(estimators, seconds=seconds, progress=progress("time"))  # type: ignore[arg-type]
    for row in measured:
        latency = timed[row["engine"], row["variant"]]
        reference = timed.get((row["engine"], "fp32"))
        row["p50_ms"] = latency.end_to_end_ms.p50
        row["speed"] = reference.infer_ms.p50 / latency.infer_ms.p50 if reference else None
    first = next(iter(timed.values()))
    return {
        "cpu": first.cpu.model,
        "flags": list(first.cpu.flags),
        "load": list(first.cpu.load),
        "threads": threads,
        "engines": sorted({latency.engine for latency in timed.values()}),
        "unstable": any(latency.unstable for latency in timed.values()),
    }


def table_lines(rows: list[Row], tests: list[str], run: Row, facts: Row) -> list[str]:
    """Return the Markdown of the table and of what has to be known to read it."""
    headings = [*_HEADINGS, *(h for name in tests for h in (f"AP, {name}", "retention")), *_NUMBERS]
    cells = [_cells(row, tests) for row in rows]
    cells.append(["TensorRT", "not run here", *[""] * (len(headings) - 2)])
    height, width = run["input_size"]
    nouns = {"generated": "generated scenes"}
    sets = ", ".join(f"{count} {nouns.get(name, name)}" for name, count in run["tests"])
    lines = [
        *table(headings, cells, left=2),
        "",
        f"{sets}; input {height} x {width}; calibrated on {run['calibration']}. Retention: AP "
        "as a share of the same engine's fp32, with the 95 % interval of a paired bootstrap over "
        "images.",
    ]
    if facts:
        lines.append(
            f"{', '.join(facts['engines'])}, threads: {facts['threads']}, {facts['cpu']} "
            f"({' '.join(facts['flags'])}); ms end to end from a picture of 640 x 480, all rows in "
            "turns in one process; speed is that of the engine alone."
        )
        if facts["unstable"]:
            lines.append("The machine was busy: only the ratios of the latencies mean something.")
    refused = [row for row in rows if row["refused"] is not None]
    return lines + [
        f"- {ENGINES[row['engine']]}, {VARIANTS[row['variant']]}: {row['refused']}"
        for row in refused
    ]


def _cells(row: Row, tests: list[str]) -> list[str]:
    cells = [ENGINES[row["engine"]], VARIANTS[row["variant"]]]
    if row["refused"] is not None:
        return [*cells, *["-"] * (2 * len(tests) + len(_NUMBERS) - 1), "refused"]
    for name in tests:
        found = row["tests"][name]
        share = found.get("retention")
        cells += [
            f"{found['ap']:.3f}",
            f"{share[0]:.1%} [{share[1]:.1%}, {share[2]:.1%}]" if share else "",
        ]
    speed = "" if row["speed"] is None else f"{row['speed']:.2f}"
    return [*cells, f"{row['p50_ms']:.1f}", speed, f"{row['model_mb']:.2f}", str(row["islands"])]


if __name__ == "__main__":
    main()
