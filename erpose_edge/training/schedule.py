"""Learning rate, averaged weights and parameter groups."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from erpose_edge.config import TrainingConfig


def learning_rate_factor(config: TrainingConfig, epoch: float) -> float:
    """Return the factor on the peak learning rate: linear warm-up, then a cosine.

    Args:
        config: Lengths and the last factor.
        epoch: Epochs so far, with fraction.
    """
    warmup = min(config.warmup_epochs, config.epochs / 2)
    if epoch < warmup:
        return max(epoch / warmup, 1e-3)
    progress = min(1.0, (epoch - warmup) / max(config.epochs - warmup, 1e-9))
    final = config.final_lr_fraction
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def make_optimizer(network: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return the optimizer; only convolution weights decay."""
    decayed = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, config.learning_rate, momentum=0.937, nesterov=True)
    return torch.optim.AdamW(groups, config.learning_rate, betas=(0.9, 0.99))


class AveragedWeights:
    """Exponential moving average of a module's state, with a short memory at the start.

    Ref: Polyak & Juditsky, 1992; the ramp follows Tarvainen & Valpola, "Mean teachers", 2017.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.state = {n: t.detach().clone() for n, t in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take one step towards the module's present state."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 10))
        ours: list[Tensor] = []
        theirs: list[Tensor] = []
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                ours.append(self.state[name])
                theirs.append(tensor.detach())
            else:
                self.state[name].copy_(tensor)
        torch._foreach_lerp_(ours, theirs, 1 - decay)
