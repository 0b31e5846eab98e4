"""The state of a run on disk: everything that a resumed run needs to go on exactly."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from erpose_edge.errors import IntegrityError
from erpose_edge.training.schedule import AveragedWeights

STATE_FILE = "state.pt"
METRICS_FILE = "metrics.jsonl"


@dataclass
class Position:
    """Where a run stands.

    Attributes:
        epoch: The epoch that is running, from 0.
        batch: Batches of it that are done.
        sums: Sums over those of every part of the loss.
        best_ap: Highest validation AP so far.
        seconds: Time spent in training steps.
    """

    epoch: int = 0
    batch: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    best_ap: float = -1.0
    seconds: float = 0.0


def save_state(
    folder: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: AveragedWeights,
    scaler: torch.amp.GradScaler,
    position: Position,
    fingerprint: str,
) -> None:
    """Write the state; the one before stays whole until this one is.

    Args:
        folder: Of the run.
        module: What is trained.
        optimizer: Its optimizer.
        average: Its averaged weights.
        scaler: Of its gradients, in float16.
        position: Where the run stands.
        fingerprint: Of the config; a run goes on only under the same.
    """
    state = {
        "fingerprint": fingerprint,
        "position": asdict(position),
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average.state,
        "updates": average.updates,
        "scaler": scaler.state_dict(),
        "rng": torch.get_rng_state(),
    }
    temporary = folder / (STATE_FILE + ".part")
    torch.save(state, temporary)
    temporary.replace(folder / STATE_FILE)


def load_state(
    folder: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: AveragedWeights,
    scaler: torch.amp.GradScaler,
    fingerprint: str,
) -> Position:
    """Fill everything from the state of ``folder`` and return where the run stands.

    Args:
        folder: Of the run.
        module: Filled, as all that follow.
        optimizer: Of ``module``.
        average: Of ``module``.
        scaler: Of its gradients.
        fingerprint: Of the config.

    Raises:
        IntegrityError: The file is damaged, or of another config.
    """
    state = read_state(folder, fingerprint)
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    average.updates = int(state["updates"])
    for name, tensor in state["average"].items():
        average.state[name].copy_(tensor)
    if state.get("scaler"):
        scaler.load_state_dict(state["scaler"])
    torch.set_rng_state(state["rng"])
    return Position(**state["position"])


def read_state(folder: Path, fingerprint: str) -> dict[str, Any]:
    """Return what `save_state` wrote.

    Raises:
        IntegrityError: The file is damaged, or of another config.
    """
    path = folder / STATE_FILE
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = state["fingerprint"]
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise IntegrityError(
            f"run {path}: expected the state of a run, got a damaged file "
            f"({reason}); start again in a new folder"
        ) from error
    if found != fingerprint:
        raise IntegrityError(
            f"run {path}: expected the state of a run with this config, got one of another; "
            "resume with the config.yaml of the run folder, or start in a new folder"
        )
    return state


def append_metrics(folder: Path, row: dict[str, Any]) -> None:
    """Add one epoch to ``metrics.jsonl``; an epoch that is there already is replaced."""
    rows = [r for r in read_metrics(folder) if r["epoch"] < row["epoch"]]
    write_metrics(folder, [*rows, row])


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the epochs of ``metrics.jsonl``."""
    path = folder / METRICS_FILE
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def write_metrics(folder: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write ``metrics.jsonl`` in one go."""
    temporary = folder / (METRICS_FILE + ".part")
    temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
    temporary.replace(folder / METRICS_FILE)
