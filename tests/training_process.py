"""A training run in a process of its own, which a test can kill or start many times.

    python tests/training_process.py FOLDER [--kill EPOCH BATCH] [SETTING...]

The state is saved after every step. ``--kill`` ends the process as a power cut would, right after
that step (both from 1) and before its state is saved.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from small_people import small_config

import erpose_edge
from erpose_edge.training.distributed import Processes, join_processes, leave_processes
from erpose_edge.training.loop import StepReport
from erpose_edge.training.session import Watch, train


def run(
    folder: Path,
    settings: list[str],
    *,
    kill: tuple[int, int] | None = None,
    processes: Processes | None = None,
) -> list[dict[str, Any]]:
    """Train the small config under ``settings``, going on where ``folder`` stands."""

    def on_step(step: StepReport) -> None:
        if kill == (step.epoch, step.batch):
            os.kill(os.getpid(), signal.SIGKILL)

    return train(
        small_config(*settings),
        folder,
        processes or Processes(0, 1, torch.device("cpu")),
        Watch(on_step=on_step),
        resume=True,
        save_every_s=0.0,
    )


def environment() -> dict[str, str]:
    """Return the environment of such a process: it finds the package, and has one thread."""
    places = [str(Path(__file__).parent), str(Path(erpose_edge.__file__).parents[1])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"}


def main(arguments: list[str]) -> None:
    """Run as the module's docstring says."""
    torch.set_num_threads(1)
    folder, *settings = arguments
    kill = None
    if settings[:1] == ["--kill"]:
        kill = int(settings[1]), int(settings[2])
        settings = settings[3:]
    processes = join_processes()
    run(Path(folder), settings, kill=kill, processes=processes)
    leave_processes(processes)


if __name__ == "__main__":
    main(sys.argv[1:])
