"""Two processes under ``torchrun`` learn what one process with the same global batch learns."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
import training_process
from small_people import small_config
from torch import nn

from erpose_edge.config import NetworkConfig
from erpose_edge.network.checkpoint import Weights, save_weights
from erpose_edge.network.pose_network import ERPose
from erpose_edge.training.session import METRICS_FILE
from erpose_edge.training.state import STATE_FILE, read_metrics

# Three steps of plain SGD: Adam divides a gradient by its own size, and so turns the last bits of
# one near zero into a step of full length.
SETTINGS = ["training.epochs=1", "training.batch_size=4", "training.optimizer=sgd",
            "training.learning_rate=0.01", "training.warmup_epochs=0",
            "training.samples_per_epoch=12", "data.val.count=1"]  # fmt: skip
LOSS = 1e-5  # largest relative difference of a mean loss
STEP = 1e-4  # largest difference of the weights, as a part of how far they went


def smooth_network():
    """A random network whose activations stay clear of ReLU's kink.

    At the kink the last bit of a sum decides whether a gradient flows, and a random network
    turns that into tenths of its gradient, with one process as with two.
    """
    torch.manual_seed(0)
    network = ERPose(NetworkConfig(scale="n"), 17)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.fill_(0.5)
                module.bias.fill_(2.0)
    return network


def two_processes(folder, *settings):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
        training_process.__file__, str(folder), *settings,
    ]  # fmt: skip
    environment = training_process.environment()
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def numbers(state):
    return torch.cat(
        [state[n].double().flatten() for n in sorted(state) if state[n].is_floating_point()]
    )  # fmt: skip


def learned(folder):
    state = torch.load(folder / STATE_FILE, weights_only=True)
    return numbers(state["module"]), numbers(state["average"])


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path):
    network, init = smooth_network(), tmp_path / "init.safetensors"
    config = json.loads(small_config().model_dump_json())
    save_weights(init, Weights(network.state_dict(), "float", config))
    settings = [*SETTINGS, f"training.init={init}"]
    one, two = tmp_path / "one", tmp_path / "two"
    result = two_processes(two, *settings)
    assert result.returncode == 0, result.stderr
    training_process.run(one, settings)

    (ours,), (theirs,) = read_metrics(two), read_metrics(one)
    assert ours == pytest.approx(theirs, rel=LOSS)
    for after_two, after_one in zip(learned(two), learned(one), strict=True):
        far = (after_one - numbers(network.state_dict())).norm()
        assert far > 0.1
        assert (after_two - after_one).norm() / far < STEP


@pytest.mark.slow
def test_a_batch_too_small_to_share_is_refused(tmp_path):
    result = two_processes(tmp_path / "run", "training.batch_size=1")
    assert result.returncode != 0
    expected = "training.batch_size: expected at least one image for each of 2 processes, got 1"
    assert expected in result.stderr
    assert not (tmp_path / "run" / METRICS_FILE).exists()
