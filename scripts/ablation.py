#!/usr/bin/env python3
r"""Train and measure what docs/method.md compares, and write its tables.

    python scripts/ablation.py --out runs/ablation                  # the steps to ER-Pose
    python scripts/ablation.py --out runs/ablation --write          # and write docs/method.md
    python scripts/ablation.py --out runs/ablation --study head     # designs of the pose tower
    python scripts/ablation.py --out runs/starts --study start      # what the backbone starts from
    python scripts/ablation.py --out runs/ablation --seeds 0,1,2 --set training.epochs=30

Study ``steps``: from the box-driven baseline to ER-Pose in four steps. Study ``head``: designs of
the pose tower. Study ``start``: what the backbone starts from, and whether it learns; it also needs
./efficientnet-lite0.pth (docs/train-your-own.md says where from).

Every row is trained on the same data, for the same number of steps, from the same seed; the first
and the last row from two seeds. What is there already is not done again, and a run that was killed
goes on. AP is measured on ``data.val`` of the config, and on crowded scenes made of its people. The
intervals are 95 % intervals of a bootstrap over images; differences to the first row are paired,
both being measured on the same drawn images. Latency is that of OpenVINO in fp32, end to end from a
photograph of 640 x 480, all rows timed in turns in one process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measured_block import ROOT, replace_block, table

sys.path.insert(0, str(ROOT))

from erpose_edge.config import LabelledSource, RunConfig, load_config
from erpose_edge.data.export import IMAGES_FOLDER, LABELS_FILE
from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.metrics.keypoint_ap import evaluate, match_poses
from erpose_edge.metrics.labels import read_labels
from erpose_edge.metrics.outcomes import Outcomes
from erpose_edge.metrics.resampling import ResampledAP, draw_images
from erpose_edge.network.checkpoint import load_weights
from erpose_edge.network.summary import summarize
from erpose_edge.runtime.poses import Poses
from erpose_edge.skeleton import Skeleton, skeleton_named

_DOCUMENT = ROOT / "docs" / "method.md"
_DRAWS = 300  # of the bootstrap
_CROWDED_SCENES = 120


@dataclass(frozen=True)
class Row:
    """One step: its name, and the settings that it has besides those of the steps after it."""

    key: str
    name: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """Rows that are compared with the first of them; ``block`` is their place in the document."""

    block: str
    rows: tuple[Row, ...]

    @property
    def plot(self) -> Path:
        """Where the plot belongs."""
        return ROOT / "docs" / "images" / f"{self.block}.png"


_BOXES = "network.boxes=true"
_BY_BOX = "training.assignment.metric=box"
_PLAIN = "training.loss.smooth=0"
_DENSE = "network.one_to_one=false"
_LIGHT = "network.pose_tower=depthwise"
_IMAGENET = ("network.backbone=efficientnet-lite0", "training.backbone=efficientnet-lite0.pth")
_TRAINED = "training.freeze_backbone=false"
_RANDOM_CSP = ("network.backbone=csp", "training.backbone=null", _TRAINED)
STUDIES = {
    "steps": Study(
        "ablation",
        (
            Row("baseline", "box-driven YOLO-Pose", (_BOXES, _BY_BOX, _PLAIN, _DENSE)),
            Row("no-box", "no box branch", (_BY_BOX, _PLAIN, _DENSE)),
            Row("keypoint-driven", "keypoint-driven assignment", (_PLAIN, _DENSE)),
            Row("smooth-oks", "smooth OKS loss", (_DENSE,)),
            Row("er-pose", "one-to-one, no NMS (ER-Pose)", ()),
        ),
    ),
    "head": Study(
        "head-designs",
        (
            Row("er-pose", "3x3, width 64 (default)", ()),
            Row("narrow", "3x3, width 48", ("network.pose_width=48",)),
            Row("depthwise", "depthwise, width 128", (_LIGHT, "network.pose_width=128")),
        ),
    ),
    "start": Study(
        "starts",
        (
            Row("er-pose", "MoveNet's backbone, not trained (default)", ()),
            Row("imagenet", "EfficientNet-Lite0 from ImageNet, not trained", _IMAGENET),
            Row("random", "CSP backbone from nothing, trained", _RANDOM_CSP),
        ),
    ),
}
Measured = dict[str, Any]


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing, measure what is missing, print the table."""
    parser = argparse.ArgumentParser(description="The ablation of docs/method.md.")
    parser.add_argument("--cfg", default="ablation", help="config that all rows share")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--study", choices=STUDIES, default="steps")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seeds", default="0,1", help="seeds of the first and the last row")
    parser.add_argument("--all-seeds", action="store_true", help="these seeds for every row")
    parser.add_argument("--write", action="store_true", help="write docs/method.md and its plot")
    options = parser.parse_args(arguments)
    study = STUDIES[options.study]
    seeds = [int(seed) for seed in options.seeds.split(",")]
    config = load_config(options.cfg, options.settings)
    val = config.data.val
    if not isinstance(val, LabelledSource):
        sys.exit(f"error: {options.cfg}: data.val: expected labelled photographs, got generated")
    sets = {"val": (val.labels, val.images), "crowded": _crowded(options.out / "crowded", val)}
    runs: dict[str, list[Path]] = {}
    for row in study.rows:
        first_or_last = row in (study.rows[0], study.rows[-1])
        chosen = seeds if options.all_seeds or first_or_last else seeds[:1]
        runs[row.key] = [options.out / f"{row.key}-{seed}" for seed in chosen]
        for seed, run in zip(chosen, runs[row.key], strict=True):
            _train(options.cfg, [*options.settings, *row.settings, f"seed={seed}"], run)
            for name, (labels, images) in sets.items():
                _validate(run, name, labels, images)
    rows = _measure(study.rows, runs, {name: labels for name, (labels, _) in sets.items()})
    for row, latency in zip(rows, _latencies(study.rows, runs), strict=True):
        row["latency"] = latency
    document = {"scale": _scale(config, study, seeds), "rows": rows}
    (options.out / f"{study.block}.json").write_text(json.dumps(document, indent=2) + "\n")
    lines = _lines(document)
    sys.stdout.write("\n".join(lines) + "\n")
    if options.write:
        replace_block(_DOCUMENT, study.block, lines)
        _plot(rows, study.plot)


def _crowded(folder: Path, val: LabelledSource) -> tuple[Path, Path]:
    """Return labels and images of crowded scenes of the validation people; made if missing."""
    labels = folder / LABELS_FILE
    if not labels.is_file():
        count = ("--count", str(_CROWDED_SCENES))
        source = ("--labels", str(val.labels), "--images", str(val.images))
        _erpose_edge("data", "crowd", *source, "--out", str(folder), *count)
    return labels, folder / IMAGES_FOLDER


def _train(cfg: str, settings: list[str], run: Path) -> None:
    """Train to the end, going on where an earlier run stopped."""
    if (run / "done").is_file():
        return
    chosen = [part for setting in settings for part in ("--set", setting)]
    _erpose_edge("train", "--cfg", cfg, *chosen, "--out", str(run), "--resume", "--no-validate")
    (run / "done").touch()


def _validate(run: Path, name: str, labels: Path, images: Path) -> None:
    poses = run / f"{name}-poses.json"
    if not poses.is_file():
        weights = str(run / "weights.safetensors")
        data = ("--data", str(labels), "--images", str(images))
        _erpose_edge("validate", weights, *data, "--save-poses", str(poses))


def _erpose_edge(*arguments: str) -> None:
    sys.stderr.write(f"erpose-edge {' '.join(arguments)}\n")
    done = subprocess.run([sys.executable, "-m", "erpose_edge", *arguments], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def _measure(
    steps: tuple[Row, ...], runs: dict[str, list[Path]], labels: dict[str, Path]
) -> list[Measured]:
    """Return AP with intervals, parameters and GFLOPs of every row."""
    any_weights = load_weights(runs[steps[0].key][0] / "weights.safetensors")
    skeleton = skeleton_named(any_weights.skeleton)
    rows: list[Measured] = []
    for row in steps:
        weights = load_weights(runs[row.key][0] / "weights.safetensors")
        cost = summarize(weights.network, len(skeleton), weights.input_size)
        gflops_640 = summarize(weights.network, len(skeleton), (640, 640))["gflops"]
        rows.append(
            {
                "key": row.key,
                "name": row.name,
                "seeds": len(runs[row.key]),
                "parameters": cost["parameters"],
                "gflops_640": gflops_640,
                "nms": weights.nms is not None,
            }
        )
    for name, path in labels.items():
        images = read_labels(path).images
        found = {
            key: [_read_poses(run / f"{name}-poses.json", skeleton) for run in folders]
            for key, folders in runs.items()
        }
        drawn = _bootstrap(images, found, skeleton)
        for row in rows:
            whole = [evaluate(images, poses, skeleton) for poses in found[row["key"]]]
            difference = drawn[row["key"]] - drawn[steps[0].key]
            row[name] = {
                "images": whole[0].images,
                "people": whole[0].people,
                "ap_by_seed": [result.ap for result in whole],
                "ap": float(np.mean([result.ap for result in whole])),
                "ap50": float(np.mean([result.ap50 for result in whole])),
                "interval": _interval(drawn[row["key"]]),
                "over_first": _interval(difference),
            }
    return rows


def _bootstrap(
    images: list[ImageLabels], found: dict[str, list[dict[int, Poses]]], skeleton: Skeleton
) -> dict[str, np.ndarray]:
    """Return AP on drawn images, (draws,) for every row; a row's seeds are averaged."""
    draws = draw_images(len(images), _DRAWS, seed=0)
    drawn = {}
    for key, seeds in found.items():
        aps = [ResampledAP(Outcomes.of(match_poses(images, poses, skeleton))) for poses in seeds]
        drawn[key] = np.array([np.mean([ap(times) for ap in aps]) for times in draws])
    return drawn


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def _read_poses(path: Path, skeleton: Skeleton) -> dict[int, Poses]:
    """Return the poses of a COCO result file by image id, best first; of no pose, an empty one."""
    by_image: dict[int, list[Measured]] = {}
    for entry in json.loads(path.read_text()):
        by_image.setdefault(entry["image_id"], []).append(entry)
    empty = Poses(
        *(np.zeros(s, np.float32) for s in (0, (0, len(skeleton), 2), (0, len(skeleton))))
    )
    found = _Found(empty)
    for image_id, entries in by_image.items():
        points = np.array([e["keypoints"] for e in entries], np.float32)
        points = points.reshape(len(entries), len(skeleton), 3)
        scores = np.array([e["score"] for e in entries], np.float32)
        found[image_id] = Poses(scores, points[:, :, :2], points[:, :, 2])
    return found


class _Found(dict[int, Poses]):
    """Poses by image id; an image without an entry has none."""

    def __init__(self, empty: Poses) -> None:
        super().__init__()
        self._empty = empty

    def __missing__(self, _: int) -> Poses:
        return self._empty


def _latencies(steps: tuple[Row, ...], runs: dict[str, list[Path]]) -> list[Measured]:
    """Return the latency of every row, timed in turns."""
    from erpose_edge.exporters.artifact_export import ExportRequest, export_artifact
    from erpose_edge.runtime.estimator import PoseEstimator
    from erpose_edge.validate.latency import example_frame, interleaved

    estimators = {}
    for row in steps:
        folder = runs[row.key][0] / "openvino"
        if not folder.is_dir():
            weights = load_weights(runs[row.key][0] / "weights.safetensors")
            export_artifact(weights, ExportRequest("openvino-cpu", "openvino", "fp32"), folder)
        estimators[row.key] = PoseEstimator(folder, threads=1)
    timed = interleaved(estimators, example_frame(), seconds=6.0 * len(steps))
    return [
        {
            "infer_ms": timed[row.key].infer_ms.p50,
            "decode_ms": timed[row.key].decode_ms.p50,
            "end_to_end_ms": timed[row.key].end_to_end_ms.p50,
            "unstable": timed[row.key].unstable,
            "engine": timed[row.key].engine,
            "cpu": timed[row.key].cpu.model,
        }
        for row in steps
    ]


def _scale(config: RunConfig, study: Study, seeds: list[int]) -> Measured:
    """Return what all rows share; a backbone only where no row has another."""
    training = config.training
    settings = [setting for row in study.rows for setting in row.settings]
    shared = not any("backbone" in setting.partition("=")[0] for setting in settings)
    return {
        "samples": training.epochs * training.samples_per_epoch,
        "training_size": list(training.input_size),
        "input_size": list(config.network.input_size),
        "backbone": config.network.backbone if shared else None,
        "frozen": training.freeze_backbone and shared,
        "seeds": seeds,
    }


def _lines(document: Measured) -> list[str]:
    scale, rows = document["scale"], document["rows"]
    headings = ["row", "AP", "over the first row", "AP50", "AP crowded", "over the first row"]
    headings += ["M parameters", "GFLOPs at 640", "ms end to end", "of it decoding", "NMS"]
    cells = []
    for row in rows:
        latency = row["latency"]
        line = [row["name"] + (f", {row['seeds']} seeds" if row["seeds"] > 1 else "")]
        for name in ("val", "crowded"):
            found = row[name]
            line.append(f"{found['ap']:.3f} ({_shown(found['interval'])})")
            line.append("" if row is rows[0] else _shown(found["over_first"], "+.3f"))
            if name == "val":
                line.append(f"{found['ap50']:.3f}")
        line += [f"{row['parameters'] / 1e6:.2f}", f"{row['gflops_640']:.2f}"]
        line += [f"{latency['end_to_end_ms']:.2f}", f"{latency['decode_ms']:.2f}"]
        cells.append([*line, "yes" if row["nms"] else "no"])
    first = rows[0]
    height, width = scale["training_size"]
    backbone = f", {scale['backbone']} backbone" if scale["backbone"] else ""
    backbone += ", not trained" if scale["frozen"] else ""
    by_seed = "; ".join(
        f"{row['name']}: {', '.join(f'{ap:.3f}' for ap in row['val']['ap_by_seed'])}"
        for row in rows
        if row["seeds"] > 1
    )
    lines = [
        *table(headings, cells),
        "",
        f"Scale: {scale['samples']:,} samples of {height} x {width} px a run"
        f"{backbone}; measured at {scale['input_size'][0]} x {scale['input_size'][1]}.",
        f"AP on {first['val']['images']} photographs with {first['val']['people']} people, and on "
        f"{first['crowded']['images']} crowded scenes with {first['crowded']['people']}; in "
        f"brackets 95 % intervals of a bootstrap over images ({_DRAWS} draws), paired where it is "
        "a difference to the first row.",
        f"Latency: {first['latency']['engine']}, fp32, 1 thread, {first['latency']['cpu']}, all "
        "rows in turns.",
    ]
    if by_seed:
        lines.append(f"AP of each seed: {by_seed}.")
    if any(row["latency"]["unstable"] for row in rows):
        lines.append("The machine was busy: only the ratios of the latencies mean something.")
    return lines


def _shown(interval: tuple[float, float], form: str = ".3f") -> str:
    return f"{interval[0]:{form}} to {interval[1]:{form}}"


def _plot(rows: list[Measured], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    for place, (name, title) in enumerate((("val", "photographs"), ("crowded", "crowded scenes"))):
        axes = figure.add_subplot(1, 2, place + 1)
        aps = [row[name]["ap"] for row in rows]
        low, high = zip(*(row[name]["interval"] for row in rows), strict=True)
        spread = np.clip([np.subtract(aps, low), np.subtract(high, aps)], 0, None)
        axes.errorbar(aps, range(len(rows)), xerr=spread, fmt="o", capsize=3, color="tab:blue")
        for at, row in enumerate(rows):
            seeds = row[name]["ap_by_seed"]
            axes.plot(seeds, [at] * len(seeds), "|", color="tab:red", markersize=10)
        axes.set_yticks(range(len(rows)), [row["name"] for row in rows] if place == 0 else [])
        axes.set(title=f"AP, {title}", xlabel="AP, 95 % interval; red: each seed")
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
    part = path.with_name(path.stem + ".part.png")
    figure.savefig(part, dpi=120, metadata={"Software": None})
    part.replace(path)


if __name__ == "__main__":
    main()
