#!/usr/bin/env python3
"""Measure a training step by its parts, and whether the loader keeps up with it.

Images/s of the loader alone, of the step alone and of both together; the part of a step that
assignment and losses take, forward and backward; and the memory that the assignment needs at most
for a crowd. The step is the loop's own, on samples that are ready; no teacher.

On a CPU that has other work, ``--cpu-time`` counts images per second of one core's time instead: of
the loader without its processes, and of the step with one thread.

    python scripts/benchmark_training.py --cfg my.yaml
    python scripts/benchmark_training.py --cfg my.yaml --document docs/training-at-scale.md
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import assignment_memory
from measured_block import ROOT, replace_block, table

sys.path.insert(0, str(ROOT))

import cv2
import torch
from torch import Tensor

from erpose_edge.cli.output import emit_json, progress
from erpose_edge.config import RunConfig, load_config
from erpose_edge.data.sample import Sample
from erpose_edge.data.training_set import TrainingSet
from erpose_edge.errors import ErposeError
from erpose_edge.machine.cpu import cpu_facts
from erpose_edge.network.pose_network import ERPose
from erpose_edge.runtime.runner import usable_cores
from erpose_edge.skeleton import skeleton_named
from erpose_edge.training.distributed import Processes
from erpose_edge.training.loader import LoadPlan, load_batches
from erpose_edge.training.loop import Run, StepReport, fit
from erpose_edge.training.objective import Objective, TrainingNetwork, TrainingOutputs
from erpose_edge.training.people import People
from erpose_edge.training.session import open_training_set
from erpose_edge.training.shared_cache import share_cache

MOST_SHARE = 0.15  # of a step, for assignment and losses
BUSY = 0.3  # processes at work before anything is measured
SPREAD = 0.15  # of the repeats around their median, above which a number is called unsure
Clock = Callable[[], float]
_WARMUP = 3  # steps, not counted
_HERE = Processes(0, 1, torch.device("cpu"))


@dataclass(frozen=True)
class Speed:
    """Images/s, median of the repeats, and how far they lie apart as a part of it."""

    what: str
    precision: str
    images_per_s: float
    spread: float


def speed_of(what: str, precision: str, rates: Sequence[float]) -> Speed:
    """Return the median of ``rates`` and their spread."""
    median = statistics.median(rates)
    return Speed(what, precision, median, (max(rates) - min(rates)) / median)


class Ready:
    """A training set whose samples were made before: loading them costs next to nothing."""

    def __init__(self, samples: list[Sample], count: int) -> None:
        self.samples, self.samples_per_epoch = samples, count

    def order(self, _: int) -> range:
        """Return places of the ready samples."""
        return range(self.samples_per_epoch)

    def sample(self, _epoch: int, _position: int, index: int, *, mosaic: bool) -> Sample:
        """Return a ready sample."""
        del mosaic
        return self.samples[index % len(self.samples)]


class TimedObjective(Objective):
    """The objective, with the CPU time of its forward and backward pass.

    Its backward pass is run at once, on copies of the network's outputs. What is returned has the
    same gradients, so the loop goes on as always.
    """

    seconds = 0.0

    def __call__(
        self, outputs: TrainingOutputs, people: People, epoch: float
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Objective`."""
        leaves: list[tuple[Tensor, Tensor]] = []

        def cut(levels: Any) -> Any:  # noqa: ANN401 - tuples of lists of tensors, or None
            if levels is None:
                return None
            if isinstance(levels, (tuple, list)):
                return type(levels)(cut(part) for part in levels)
            leaf = levels.detach().requires_grad_()
            leaves.append((levels, leaf))
            return leaf

        copies = replace(outputs, one_to_one=cut(outputs.one_to_one), dense=cut(outputs.dense))
        started = time.process_time()
        loss, parts = super().__call__(copies, people, epoch)
        gradients = torch.autograd.grad(loss, [leaf for _, leaf in leaves], allow_unused=True)
        self.seconds += time.process_time() - started
        used = [(out, g) for (out, _), g in zip(leaves, gradients, strict=True) if g is not None]
        return sum((out * g).sum() for out, g in used), parts  # type: ignore[return-value]


def loader_rate(
    training_set: TrainingSet, config: RunConfig, batches: int, workers: int, clock: Clock
) -> float:
    """Return images/s of the loader, nobody else at work."""
    size = config.training.batch_size
    training_set.samples_per_epoch = (batches + 1) * size
    loaded = load_batches(training_set, LoadPlan(0, 0, 1, size, 0, 1, mosaic_epochs=1), workers)
    next(loaded)  # the workers have started, and nothing else is ready yet
    started = clock()
    count = sum(len(batch.images) for batch in loaded)
    return count / (clock() - started)


def step_rate(
    training_set: TrainingSet | Ready,
    config: RunConfig,
    precision: str,
    steps: int,
    workers: int,
    clock: Clock,
) -> tuple[float, float]:
    """Return images/s of the training loop, and the objective's part of its CPU time."""
    training = config.training.model_copy(
        update={
            "epochs": 1,
            "precision": precision,
            "samples_per_epoch": 0,
            "close_mosaic_epochs": 0,
        }
    )
    skeleton = skeleton_named(config.skeleton)
    objective = TimedObjective(training, skeleton, training.input_size, _HERE.normaliser)
    marks: list[tuple[float, float, float]] = []  # time, CPU time, the objective's

    def on_step(_: StepReport) -> None:
        marks.append((clock(), time.process_time(), objective.seconds))

    torch.manual_seed(config.seed)
    training_set.samples_per_epoch = (steps + _WARMUP) * training.batch_size
    network = ERPose(config.network, len(skeleton))
    with tempfile.TemporaryDirectory() as folder:
        fit(
            Run(
                module=TrainingNetwork(network, imitates=False),
                objective=objective,
                training_set=training_set,  # type: ignore[arg-type]
                config=training,
                folder=Path(folder),
                processes=_HERE,
                workers=workers,
                fingerprint="",
                on_step=on_step,
                save_every_s=float("inf"),
            )
        )
    taken, cpu, objective_cpu = (
        after - before for before, after in zip(marks[_WARMUP - 1], marks[-1], strict=True)
    )
    return (len(marks) - _WARMUP) * training.batch_size / taken, objective_cpu / cpu


def assignment_memory_mb(batch: int) -> float | None:
    """Return the peak memory of the assignment for full images, where the system tells it."""
    if sys.platform != "linux":
        return None
    command = [sys.executable, str(Path(assignment_memory.__file__)), str(batch)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(
    config: RunConfig,
    steps: int,
    repeats: int,
    advance: Callable[[int, int, str], None],
    *,
    cpu_time: bool = False,
) -> dict[str, Any]:
    """Measure everything; the document of ``--json``."""
    clock = time.process_time if cpu_time else time.perf_counter
    workers = 0 if cpu_time else config.data.workers
    threads = 1 if cpu_time else max(1, usable_cores() - workers)
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    facts = cpu_facts(threads)
    precisions = ["fp32", *(["bf16"] if "amx_bf16" in facts.flags else [])]
    done, total = 0, 2 * repeats + 1 + (1 if cpu_time else 2) * repeats * len(precisions) + 2
    speeds: list[Speed] = []

    def tick(what: str) -> None:
        nonlocal done
        done += 1
        advance(done, total, what)

    def loader() -> float:
        rate = loader_rate(training_set, config, 2 * steps, workers, clock)
        tick("loader")
        return rate

    training_set = open_training_set(config, config.training, lambda _: None)
    rates = [loader() for _ in range(repeats)]
    speeds.append(speed_of("loader alone, images decoded", "", rates))
    share_cache(training_set, config.data.cache_mb, _HERE)
    kept = training_set.cache.plan.kept if training_set.cache else 0
    loader()  # fills the cache: the repeats are of the same samples
    rates = [loader() for _ in range(repeats)]
    what = f"loader alone, {kept} of {len(training_set)} images find room in the cache"
    speeds.append(speed_of(what, "", rates))

    order = training_set.order(0)
    ready = [
        training_set.sample(0, p, int(order[p % len(order)]), mosaic=True)
        for p in range(4 * config.training.batch_size)
    ]
    shares = {}
    for precision in precisions:
        alone, together, parts = [], [], []
        for _ in range(repeats):
            rate, share = step_rate(Ready(ready, 0), config, precision, steps, 0, clock)
            alone.append(rate)
            parts.append(share)
            tick(f"step, {precision}")
            if not cpu_time:
                rate, _ = step_rate(training_set, config, precision, steps, workers, clock)
                together.append(rate)
                tick(f"training, {precision}")
        speeds.append(speed_of("step alone", precision, alone))
        if together:
            speeds.append(speed_of("training: loader and step", precision, together))
        shares[precision] = statistics.median(parts)
    memory: dict[int, float | None] = {}
    for batch in (1, 8):
        memory[batch] = assignment_memory_mb(batch)
        tick("assignment")
    return {
        "cpu": facts.to_json(),
        "scale": config.network.scale,
        "batch_size": config.training.batch_size,
        "input_size": list(config.training.input_size),
        "mosaic": config.data.augmentation.mosaic,
        "workers": workers,
        "threads": threads,
        "cpu_time": cpu_time,
        "sources": [_source(source) for source in config.data.train],
        "speeds": [asdict(speed) for speed in speeds],
        "objective_share": shares,
        "assignment_memory_mb": memory,
        "busy": bool(facts.load and facts.load[0] > BUSY),
    }


def _source(source: Any) -> str:  # noqa: ANN401 - of the config
    if source.kind == "generated":
        return f"{source.count} generated scenes"
    return f"{source.images.parent.name}/{source.labels.name}"


def lines_of(found: dict[str, Any]) -> list[str]:
    """Return the tables and what is to be said about them, in Markdown."""
    height, width = found["input_size"]
    rows = [
        [s["what"], s["precision"] or "-", f"{s['images_per_s']:.1f}", f"{100 * s['spread']:.0f}%"]
        for s in found["speeds"]
    ]
    loader, cached = (s["images_per_s"] for s in found["speeds"][:2])
    verdicts = []
    for step in found["speeds"]:
        if step["what"] == "step alone":
            slower = "the loader" if cached < step["images_per_s"] else "the step"
            verdicts.append(
                f"{step['precision']}: {slower} is the slower one "
                f"(loader {loader / step['images_per_s']:.1f} times the step's images/s, "
                f"{cached / step['images_per_s']:.1f} times with the cache)."
            )
    shares = [
        [precision, f"{100 * share:.1f}%", "yes" if share <= MOST_SHARE else "no"]
        for precision, share in found["objective_share"].items()
    ]
    memory = [
        [str(batch), "not measured" if mb is None else f"{mb:.0f}"]
        for batch, mb in found["assignment_memory_mb"].items()
    ]
    cpu = found["cpu"]
    how = (
        "images per second of one core's time"
        if found["cpu_time"]
        else f"loader processes: {found['workers']}, threads of the step: {found['threads']}"
    )
    lines = [
        f"{cpu['model']}; {how}. ER-Pose-{found['scale']}, batch "
        f"{found['batch_size']}, {height} x {width}, mosaic {found['mosaic']:g}; images: "
        f"{', '.join(found['sources'])}. Median of the repeats.",
        "",
        *table(["what", "precision", "images/s", "spread"], rows),
        "",
        *verdicts,
        "",
        *table(
            ["precision", "assignment and losses, CPU time", f"at most {MOST_SHARE:.0%}"], shares
        ),
        "",
        *table(["images of 100 people, 8,400 grid points", "memory of assign(), MB"], memory),
    ]
    if found["busy"]:
        lines += ["", f"The machine had other work: load {cpu['load'][0]:g} before the start."]
    unsure = [s["what"] for s in found["speeds"] if s["spread"] > SPREAD]
    if unsure:
        lines += ["", f"Varied by more than {SPREAD:.0%}: {'; '.join(dict.fromkeys(unsure))}."]
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the block of a document."""
    parser = argparse.ArgumentParser(description="Measure loader, training step and assignment.")
    parser.add_argument("--cfg", default="n", help="config: a path, or the name of a bundled one")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--steps", type=int, default=8, help="steps of a repeat (default: 8)")
    parser.add_argument("--repeats", type=int, default=3, help="repeats (default: 3)")
    parser.add_argument("--cpu-time", action="store_true", help="count a core's time (CPU only)")
    parser.add_argument("--document", type=Path, help="write between its marks training-speed")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args(arguments)
    try:
        config = load_config(given.cfg, given.settings)
        with progress("benchmark") as advance:
            found = measure(config, given.steps, given.repeats, advance, cpu_time=given.cpu_time)
    except ErposeError as error:
        sys.exit(f"error: {error}")
    lines = lines_of(json.loads(json.dumps(found)))
    if given.json:
        emit_json(found)
    else:
        print("\n".join(lines))
    if given.document:
        replace_block(given.document, "training-speed", lines)


if __name__ == "__main__":
    main()
