"""The process that is alone; two of them are in ``tests/parity/test_two_processes.py``."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from erpose_edge.training.distributed import (
    Processes,
    SharedBatchNorm,
    join_processes,
    leave_processes,
    share_batch_norm,
)


@pytest.fixture
def alone(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return join_processes()


def test_one_process_is_the_first_and_waits_for_nobody(alone):
    assert (alone.rank, alone.count, alone.first) == (0, 1, True)
    alone.barrier()
    leave_processes(alone)
    assert alone.mean_of({"loss": 0.1}) == {"loss": 0.1}


def test_a_mean_carries_no_gradient_and_changes_nothing(alone):
    value = torch.ones(2, requires_grad=True)
    mean = alone.mean(value)
    assert torch.equal(mean, value)
    assert not mean.requires_grad


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"), [(0.2, 0.3, 0.5), (0.0, 0.0, 0.5), (0.7, 0.7, 0.7), (6, 2, 4)]
)
def test_totals_of_the_global_batch_count_as_at_least_one(monkeypatch, mine, theirs, expected):
    # With it the mean of two processes' losses is the sum of their sums over max(1, total).
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda value: value.add_(theirs))
    divisor = Processes(0, 2, torch.device("cpu")).normaliser(torch.tensor([float(mine)]))
    assert divisor.tolist() == pytest.approx([expected])


def test_totals_of_one_process_count_as_at_least_one(alone):
    assert alone.normaliser(torch.tensor([0.0, 0.4, 3.0])).tolist() == [1, 1, 3]


def test_only_the_first_process_writes():
    assert not Processes(1, 2, torch.device("cpu")).first


@pytest.fixture
def one_process_group(tmp_path):
    """A group of one, so that the collective functions run."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_shared_batch_norm_of_one_process_is_torchs(one_process_group):
    draw = torch.Generator().manual_seed(0)
    theirs = nn.BatchNorm2d(5, eps=1e-3, momentum=0.03)
    with torch.no_grad():
        theirs.weight.uniform_(0.5, 2, generator=draw)
        theirs.bias.uniform_(-1, 1, generator=draw)
    ours = nn.Sequential(nn.BatchNorm2d(5, eps=1e-3, momentum=0.03))
    ours[0].load_state_dict(theirs.state_dict())
    share_batch_norm(ours)
    assert type(ours[0]) is SharedBatchNorm
    for _ in range(3):
        x = 3 + 2 * torch.randn(4, 5, 6, 7, generator=draw)
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [norm(i) for norm, i in zip((ours, theirs), inputs, strict=True)]
        torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-5)
        for output in outputs:
            (output.sin() * torch.linspace(0, 1, output.numel()).view_as(output)).sum().backward()
        torch.testing.assert_close(inputs[0].grad, inputs[1].grad, atol=1e-4, rtol=1e-4)
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours[0].state_dict()[name], tensor, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours[0].weight.grad, theirs.weight.grad, atol=1e-3, rtol=1e-4)
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)
