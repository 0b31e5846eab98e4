"""The recipes for COCO and CrowdPose run on data in their layouts, on one machine and on two."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import cv2
import pytest
import training_process

from erpose_edge.cli.app import main
from erpose_edge.data.generated.people import GeneratedPeople
from erpose_edge.metrics.image_labels import to_coco
from erpose_edge.skeleton import COCO_17, CROWDPOSE_14
from erpose_edge.training.state import read_metrics

SIZE = (64, 96)
CROWDPOSE_OF_COCO = [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0, 0]  # a nose for head and neck
SMALL = [
    "training.input_size=[64, 64]", "network.input_size=[64, 64]", "training.epochs=2",
    "training.batch_size=4", "training.warmup_epochs=0", "training.close_mosaic_epochs=1",
    "training.precision=fp32", "data.workers=0", "data.cache_mb=10",
]  # fmt: skip


def write_split(labels, images, seed, count, *, crowdpose=False):
    """Write generated people as photographs of a split."""
    images.mkdir(parents=True, exist_ok=True)
    labels.parent.mkdir(parents=True, exist_ok=True)
    listed = []
    for image, people in GeneratedPeople(count, seed=seed, size=SIZE):
        cv2.imwrite(str(images / people.file_name), image)
        listed.append(people)
    document = to_coco(listed, CROWDPOSE_14 if crowdpose else COCO_17)
    for number, entry in enumerate(document["annotations"], start=1):
        entry["id"] = number
    if crowdpose:
        for entry, people in zip(document["images"], listed, strict=True):
            entry["crowdIndex"] = people.image_id % 3 / 2
        for entry in document["annotations"]:
            points = [entry["keypoints"][3 * k : 3 * k + 3] for k in CROWDPOSE_OF_COCO]
            entry["keypoints"] = [value for point in points for value in point]
            entry["num_keypoints"] = sum(flag > 0 for _, _, flag in points)
    labels.write_text(json.dumps(document))


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Both data sets below the current directory, in their layouts."""
    monkeypatch.chdir(tmp_path)
    coco, crowdpose = tmp_path / "data" / "coco", tmp_path / "data" / "crowdpose"
    for seed, (split, count) in enumerate({"train": 12, "val": 3}.items()):
        labels = coco / "annotations" / f"person_keypoints_{split}2017.json"
        write_split(labels, coco / f"{split}2017", seed, count)
    for seed, (split, count) in enumerate({"trainval": 12, "test": 6}.items()):
        labels = crowdpose / "json" / f"crowdpose_{split}.json"
        write_split(labels, crowdpose / "images", seed, count, crowdpose=True)
    return tmp_path


def arguments(name, *more):
    settings = [part for setting in SMALL for part in ("--set", setting)]
    return ["train", "--cfg", f"n-{name}", "--out", f"runs/{name}", *settings, *more]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coco", "crowdpose"])
def test_a_recipe_trains_on_what_its_check_accepts(name, data):
    assert main(["data", "check", f"data/{name}", "--strict"]) == 0
    assert main(arguments(name)) == 0
    rows = read_metrics(data / "runs" / name)
    assert len(rows) == 2
    assert all("ap" in row for row in rows)


def start(command):
    """Start `torchrun`; its output is kept."""
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *command],
        env=training_process.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_two_machines_share_a_run(data):
    """The documented command, on two "machines" that are processes here."""
    port = 20000 + os.getpid() % 10000
    command = [
        "--nnodes=2", "--nproc-per-node=1", "--rdzv-id=coco", "--rdzv-backend=c10d",
        f"--rdzv-endpoint=localhost:{port}", "-m", "erpose_edge", *arguments("coco", "--resume"),
    ]  # fmt: skip
    machines = [start(command), start(command)]
    written = [machine.communicate(timeout=240)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], written
    assert main(arguments("coco", "--set", "data.cache_mb=0", "--out", "runs/alone")) == 0
    shared, alone = (read_metrics(data / "runs" / name) for name in ("coco", "alone"))
    assert len(shared) == 2
    assert shared[0]["loss"] == pytest.approx(alone[0]["loss"], rel=1e-2)
