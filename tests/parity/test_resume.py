"""A run that was killed and resumed ends where an uninterrupted one does, to the bit."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
import torch
import training_process

from erpose_edge.network.checkpoint import load_weights
from erpose_edge.training.session import BEST_FILE, METRICS_FILE, WEIGHTS_FILE
from erpose_edge.training.state import STATE_FILE

PROGRAM = training_process.__file__
SETTINGS = ["training.epochs=2", "training.batch_size=2", "training.ema_decay=0.9"]  # 2 x 4 steps


@pytest.fixture
def one_thread():
    """The number of threads decides the order of sums, and so their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def killed_at(folder, epoch, batch):
    command = [sys.executable, PROGRAM, str(folder)]
    command += ["--kill", str(epoch), str(batch), *SETTINGS]
    environment = training_process.environment()
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == -signal.SIGKILL, result.stderr


def assert_same_run(ours, theirs):
    assert (ours / METRICS_FILE).read_text() == (theirs / METRICS_FILE).read_text()
    for name in (WEIGHTS_FILE, BEST_FILE):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    states = [torch.load(folder / STATE_FILE, weights_only=True) for folder in (ours, theirs)]
    assert_same(*({**state, "position": {**state["position"], "seconds": 0}} for state in states))


def assert_same(ours, theirs):
    """Compare nested states to the bit."""
    assert type(ours) is type(theirs)
    if isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs)
    elif isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert_same(ours[key], theirs[key])
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b)
    else:
        assert ours == theirs


@pytest.mark.slow
def test_a_run_killed_in_the_middle_of_an_epoch_goes_on_exactly(tmp_path, one_thread):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed_at(killed, 2, 3)
    stopped = torch.load(killed / STATE_FILE, weights_only=True)["position"]
    assert (stopped["epoch"], stopped["batch"]) == (1, 2)  # from 0: the killed step was not saved
    rows = training_process.run(killed, SETTINGS)
    assert training_process.run(whole, SETTINGS) == rows
    assert [row["epoch"] for row in rows] == [1, 2]
    assert_same_run(killed, whole)
    assert load_weights(killed / WEIGHTS_FILE).details["metrics"] == rows[-1]


@pytest.mark.slow
def test_resuming_a_finished_run_changes_nothing(tmp_path, one_thread):
    settings = ["training.epochs=1"]
    rows = training_process.run(tmp_path, settings)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert training_process.run(tmp_path, settings) == rows
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
