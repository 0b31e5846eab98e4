"""Two processes under ``torchrun`` learn what one process with the same global batch learns."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import training_process

from erpose_edge.training.session import METRICS_FILE
from erpose_edge.training.state import STATE_FILE, read_metrics

PROGRAM = training_process.__file__
# Plain SGD: Adam divides a gradient by its own size, and so turns the last bits of those near
# zero into steps of full length.
SETTINGS = ["training.epochs=1", "training.batch_size=4", "training.optimizer=sgd",
            "training.learning_rate=0.01", "training.warmup_epochs=0",
            "training.samples_per_epoch=12", "data.val.count=1"]  # fmt: skip
LOSS = 1e-3  # largest relative difference of a mean loss
STEP = 1e-2  # largest difference of the weights, as a part of how far they went


def two_processes(folder, *settings):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
        PROGRAM, str(folder), *SETTINGS, *settings,
    ]  # fmt: skip
    environment = training_process.environment()
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def learned(folder):
    state = torch.load(folder / STATE_FILE, weights_only=True)
    return {n: t.double() for n, t in state["module"].items() if t.is_floating_point()}


def start():
    """The weights before the first step."""
    from erpose_edge.network.pose_network import ERPose
    from erpose_edge.training.objective import TrainingNetwork

    torch.manual_seed(0)
    state = TrainingNetwork(ERPose("n", "relu", 17), imitates=False).state_dict()
    return {n: t.double() for n, t in state.items() if t.is_floating_point()}


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    result = two_processes(two)
    assert result.returncode == 0, result.stderr
    training_process.run(one, SETTINGS)

    (ours,), (theirs,) = read_metrics(two), read_metrics(one)
    assert ours.keys() == theirs.keys()
    for name in (n for n in ours if n == "loss" or "_" in n):
        assert ours[name] == pytest.approx(theirs[name], rel=LOSS, abs=LOSS), name

    before, ours, theirs = start(), learned(two), learned(one)
    assert ours.keys() == theirs.keys()
    far = torch.cat([(theirs[n] - before[n]).flatten() for n in theirs]).norm()
    apart = torch.cat([(theirs[n] - ours[n]).flatten() for n in theirs]).norm()
    assert far > 0
    assert apart / far < STEP


@pytest.mark.slow
def test_a_batch_too_small_to_share_is_refused(tmp_path):
    result = two_processes(tmp_path / "run", "training.batch_size=1")
    assert result.returncode != 0
    assert "training.batch_size: expected at least one image for each of 2 processes" in (
        result.stderr
    )
    assert not (tmp_path / "run" / METRICS_FILE).exists()
