"""The state of a run: whole or refused, and never lost."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from erpose_edge.config import TrainingConfig
from erpose_edge.errors import IntegrityError
from erpose_edge.training.schedule import AveragedWeights, make_optimizer
from erpose_edge.training.state import (
    STATE_FILE,
    Position,
    append_metrics,
    load_state,
    read_metrics,
    save_state,
)


class Learner:
    """Everything of a run that has a state."""

    def __init__(self, seed):
        torch.manual_seed(seed)
        self.module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.optimizer = make_optimizer(self.module, TrainingConfig())
        self.average = AveragedWeights(self.module, 0.9)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0 ** (7 + seed))

    def step(self):
        self.optimizer.zero_grad()
        self.module(torch.rand(2, 3, 4, 4)).square().sum().backward()
        self.optimizer.step()
        self.average.update(self.module)

    def save(self, folder, position, fingerprint="config"):
        save_state(
            folder, self.module, self.optimizer, self.average, self.scaler, position, fingerprint
        )

    def load(self, folder, fingerprint="config"):
        return load_state(
            folder, self.module, self.optimizer, self.average, self.scaler, fingerprint
        )

    def numbers(self):
        state = [*self.module.state_dict().values(), *self.average.state.values()]
        moments = [t for s in self.optimizer.state.values() for t in s.values()]
        return [*state, *moments, torch.tensor(self.scaler.get_scale())]


@pytest.fixture
def saved(tmp_path):
    learner = Learner(0)
    for _ in range(3):
        learner.step()
    learner.save(tmp_path, Position(2, 5, {"loss": 1.5}, 0.25, 60.0))
    return learner


def test_everything_comes_back_and_goes_on_alike(saved, tmp_path):
    other = Learner(1)
    position = other.load(tmp_path)
    assert position == Position(2, 5, {"loss": 1.5}, 0.25, 60.0)
    assert other.average.updates == 3
    for _ in range(2):
        other.step()
    ours = other.numbers()
    other.load(tmp_path)  # the random numbers too are back where they were
    for _ in range(2):
        other.step()
    for a, b in zip(ours, other.numbers(), strict=True):
        assert torch.equal(a, b)
    assert other.scaler.get_scale() == 2.0**7


def test_a_state_of_another_config_is_refused(saved, tmp_path):
    with pytest.raises(IntegrityError, match=r"state\.pt: expected .* this config, got one of ano"):
        Learner(1).load(tmp_path, "another config")


@pytest.mark.parametrize("kept", [0, 10, 0.5, -1])
def test_a_damaged_state_is_refused_in_one_line(saved, tmp_path, kept):
    path = tmp_path / STATE_FILE
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(IntegrityError, match=r"state\.pt: expected .* got a damaged") as error:
        Learner(1).load(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"not a file of torch", None])
def test_another_file_under_its_name_is_refused(tmp_path, content):
    path = tmp_path / STATE_FILE
    torch.save([1, 2], path) if content is None else path.write_bytes(content)
    with pytest.raises(IntegrityError, match="got a damaged file"):
        Learner(1).load(tmp_path)


def test_a_failed_save_leaves_the_state_before(saved, tmp_path, monkeypatch):
    before = (tmp_path / STATE_FILE).read_bytes()

    def full_disk(_state, path):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        saved.save(tmp_path, Position())
    assert (tmp_path / STATE_FILE).read_bytes() == before


def test_an_epoch_that_is_done_again_replaces_its_row(tmp_path):
    assert read_metrics(tmp_path) == []
    for epoch in (1, 2, 3):
        append_metrics(tmp_path, {"epoch": epoch, "loss": 1.0})
    append_metrics(tmp_path, {"epoch": 2, "loss": 0.5})
    assert read_metrics(tmp_path) == [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5}]
