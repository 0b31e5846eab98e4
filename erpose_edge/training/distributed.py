"""Several processes, started by ``torchrun``: one result as if there were one.

Losses are normalised over the global batch and batch norm takes its statistics from it, so a run
on two processes gives what one process with the same global batch gives.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

_PATIENCE = timedelta(hours=6)  # the others wait while the first process validates


@dataclass(frozen=True)
class Processes:
    """This process among the others of a run."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """True for the process that writes files and shows progress."""
        return self.rank == 0

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of ``value`` over all processes; carries no gradient."""
        value = value.detach().clone()
        if self.count > 1:
            distributed.all_reduce(value)
            value /= self.count
        return value

    def normaliser(self, totals: Tensor) -> Tensor:
        """Return what this process divides its sums by, given its part of the ``totals``.

        The mean over processes of what it gets is then the loss of the global batch: sums over
        totals, where a total of the global batch counts as at least 1.
        """
        return self.mean(totals).clamp(min=1 / self.count)

    def mean_of(self, values: dict[str, float]) -> dict[str, float]:
        """Return the mean of every value over all processes, which hold the same names."""
        if self.count == 1:
            return values
        means = self.mean(torch.tensor(list(values.values()), device=self.device))
        return dict(zip(values, means.tolist(), strict=True))

    def gather(self, value: Any) -> list[Any]:  # noqa: ANN401 - whatever can be pickled
        """Return the ``value`` of every process, by rank."""
        values = [value] * self.count
        if self.count > 1:
            distributed.all_gather_object(values, value)
        return values

    def barrier(self) -> None:
        """Wait for the others."""
        if self.count > 1:
            distributed.barrier()


def join_processes() -> Processes:
    """Join the run that ``torchrun`` started, or be the only process."""
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count > 1 and not distributed.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        backend = "nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=_PATIENCE)
    rank = distributed.get_rank() if count > 1 else 0
    return Processes(rank, count, device)


def leave_processes(processes: Processes) -> None:
    """Leave the run."""
    if processes.count > 1:
        distributed.destroy_process_group()


class _SumOverProcesses(torch.autograd.Function):
    """Sum whose gradient is the sum of every process's gradient."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:  # noqa: ANN401
        value = value.clone()
        distributed.all_reduce(value)
        return value

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        gradient = gradient.clone()
        distributed.all_reduce(gradient)
        return gradient


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm over the batches of all processes; works on CPU too, as torch's own does not.

    Ref: the formulas of Ioffe & Szegedy, 2015, https://arxiv.org/abs/1502.03167
    """

    # As `nn.BatchNorm2d` makes them here: never None.
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W), in training by the statistics of the global batch."""
        if not self.training:
            return super().forward(x)
        count = torch.tensor([x.numel() / x.shape[1]], device=x.device)
        sums = torch.cat([x.float().sum((0, 2, 3)), x.float().square().sum((0, 2, 3)), count])
        sums = _SumOverProcesses.apply(sums)
        total = sums[-1]
        mean, square = (sums[:-1] / total).chunk(2)
        variance = (square - mean.square()).clamp(min=0)
        with torch.no_grad():
            unbiased = variance * total / (total - 1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
            self.num_batches_tracked += 1
        gain = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * gain
        return (x * gain[:, None, None] + shift[:, None, None]).to(x.dtype)


def share_batch_norm(network: nn.Module) -> None:
    """Turn every batch norm of ``network`` into a `SharedBatchNorm`, in place."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm
