"""The training loop, float or quantization-aware: steps, checkpoints, validation, progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from erpose_edge.config import TrainingConfig
from erpose_edge.data.training_set import TrainingSet
from erpose_edge.errors import RequestError
from erpose_edge.training.distributed import Processes, share_batch_norm
from erpose_edge.training.loader import (
    Batch,
    LoadPlan,
    batches_per_epoch,
    load_batches,
    rgb_input,
)
from erpose_edge.training.objective import Features, Objective
from erpose_edge.training.pretrained import FrozenBackbone
from erpose_edge.training.schedule import AveragedWeights, learning_rate_factor, make_optimizer
from erpose_edge.training.state import (
    STATE_FILE,
    Position,
    append_metrics,
    load_state,
    save_state,
)
from erpose_edge.training.teacher import Seen, Teacher, imitation_loss

SAVE_EVERY_S = 120.0


@dataclass(frozen=True)
class StepReport:
    """One step, for the progress display: epochs and batches from 1, images per second."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    rate: float


@dataclass(frozen=True)
class Run:
    """Everything that a run needs.

    Attributes:
        module: Gives `TrainingOutputs` for RGB images in [0, 1].
        objective: The loss.
        training_set: The samples.
        config: Epochs, optimizer, schedule.
        folder: Where state and metrics go.
        processes: This process among the others.
        workers: Loader processes.
        fingerprint: Of the resolved config.
        teacher: Whom to imitate.
        frozen: Runs the backbone ahead, where it does not learn.
        validate: Returns metrics (``ap`` among them) of the averaged state.
        before_epoch: Called with the epoch's number, from 0.
        on_step: Called after every step.
        on_epoch: Called with an epoch's metrics and the averaged state.
        save_every_s: Seconds between two saves of the state within an epoch.
    """

    module: nn.Module
    objective: Objective
    training_set: TrainingSet
    config: TrainingConfig
    folder: Path
    processes: Processes
    workers: int
    fingerprint: str
    teacher: Teacher | None = None
    frozen: FrozenBackbone | None = None
    validate: Callable[[dict[str, Tensor]], dict[str, Any]] | None = None
    before_epoch: Callable[[int], None] = field(default=lambda _: None)
    on_step: Callable[[StepReport], None] = field(default=lambda _: None)
    on_epoch: Callable[[dict[str, Any], dict[str, Tensor]], None] = field(
        default=lambda _row, _state: None
    )
    save_every_s: float = SAVE_EVERY_S


def fit(run: Run) -> dict[str, Tensor]:
    """Train, going on from ``run.folder``'s state if it has one, and return the averaged state.

    Raises:
        IntegrityError: The state in the folder is damaged or of another config.
        RequestError: A batch has fewer images than there are processes, or the loss is not finite.
    """
    _check_share(run)
    module = run.module.to(run.processes.device)
    module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if run.processes.count > 1:
        share_batch_norm(module)
    optimizer = make_optimizer(module, run.config)
    average = AveragedWeights(module, run.config.ema_decay)
    scaler = torch.amp.GradScaler(
        run.processes.device.type,
        enabled=_compute_type(run.config.precision, run.processes.device) is torch.float16,
    )
    position = Position()
    if (run.folder / STATE_FILE).is_file():
        position = load_state(run.folder, module, optimizer, average, scaler, run.fingerprint)
    wrapped = DistributedDataParallel(module) if run.processes.count > 1 else module
    stepper = _Stepper(run, wrapped, module, optimizer, average, scaler)
    plan = LoadPlan(
        epoch=position.epoch,
        batch=position.batch,
        epochs=run.config.epochs,
        batch_size=run.config.batch_size,
        rank=run.processes.rank,
        processes=run.processes.count,
        mosaic_epochs=run.config.epochs - run.config.close_mosaic_epochs,
    )
    batches = load_batches(run.training_set, plan, run.workers)
    for epoch in range(position.epoch, run.config.epochs):
        run.before_epoch(epoch)
        stepper.epoch(position, batches)
        _finish_epoch(run, stepper, position)
    return average.state


class _Stepper:
    """Runs the steps of an epoch."""

    def __init__(
        self,
        run: Run,
        wrapped: nn.Module,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: AveragedWeights,
        scaler: torch.amp.GradScaler,
    ) -> None:
        self.run, self.wrapped, self.module = run, wrapped, module
        self.optimizer, self.average, self.scaler = optimizer, average, scaler
        self.batches = batches_per_epoch(run.training_set, run.config.batch_size)
        self.dtype = _compute_type(run.config.precision, run.processes.device)

    def save(self, position: Position) -> None:
        run = self.run
        if run.processes.first:
            save_state(
                run.folder,
                self.module,
                self.optimizer,
                self.average,
                self.scaler,
                position,
                run.fingerprint,
            )

    def epoch(self, position: Position, batches: Iterator[Batch]) -> None:
        """Run the batches of an epoch that are left, saving the state now and then."""
        run, config = self.run, self.run.config
        self.module.train()
        if config.freeze_backbone:  # batch norm keeps its statistics
            self.module.network.backbone.eval()  # type: ignore[union-attr]
        saved = started = time.perf_counter()
        images_done = 0
        left = islice(batches, self.batches - position.batch)
        for batch, ahead in _looking_ahead(left, run):
            losses = self._step(batch, ahead, position.epoch + position.batch / self.batches)
            for name, value in losses.items():
                position.sums[name] = position.sums.get(name, 0.0) + value
            position.batch += 1
            images_done += config.batch_size
            now = time.perf_counter()
            run.on_step(
                StepReport(
                    epoch=position.epoch + 1,
                    epochs=config.epochs,
                    batch=position.batch,
                    batches=self.batches,
                    loss=losses["loss"],
                    rate=images_done / (now - started),
                )
            )
            if now - saved > run.save_every_s:
                self.save(position)
                saved = time.perf_counter()
        position.seconds += time.perf_counter() - started

    def _step(self, batch: Batch, ahead: _Ahead, epoch: float) -> dict[str, float]:
        run, config = self.run, self.run.config
        device = run.processes.device
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * learning_rate_factor(config, epoch)
        images = rgb_input(batch.images.to(device)).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, self.dtype, enabled=self.dtype is not torch.float32):
            features = ahead.features and tuple(level.to(device) for level in ahead.features)
            outputs = self.wrapped(images, features)
        with torch.autocast(device.type, enabled=False):
            loss, parts = run.objective(outputs, batch.people.to(device), epoch)
            if ahead.seen is not None and outputs.believed is not None:
                fine, heat, wide, deep = (tensor.to(device) for tensor in ahead.seen)
                imitation = imitation_loss(outputs.believed, (fine, heat, wide, deep))
                loss = loss + config.teacher.weight * imitation
                parts["imitation"] = float(imitation.detach())
        parts = run.processes.mean_of(parts | {"loss": float(loss.detach())})
        if not math.isfinite(parts["loss"]):  # known to all processes: none waits for another
            raise RequestError(
                f"training: expected a finite loss, got {parts} at epoch {epoch:.3f}; "
                "lower training.learning_rate or training.gradient_clip"
            )
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        if config.gradient_clip:
            nn.utils.clip_grad_norm_(self.module.parameters(), config.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.average.update(self.module)
        return parts


@dataclass(frozen=True)
class _Ahead:
    """What others make of a batch while the step before it runs."""

    seen: Seen | None
    features: Features | None


def _looking_ahead(batches: Iterator[Batch], run: Run) -> Iterator[tuple[Batch, _Ahead]]:
    """Yield batches with what teacher and frozen backbone see in them, one step ahead."""
    if run.teacher is None and run.frozen is None:
        yield from ((batch, _Ahead(None, None)) for batch in batches)
        return

    def look(images: Tensor) -> _Ahead:
        return _Ahead(
            seen=None if run.teacher is None else run.teacher(images),
            features=None if run.frozen is None else run.frozen(images),
        )

    with ThreadPoolExecutor(1) as thread:
        pending: tuple[Batch, Future[_Ahead]] | None = None
        for batch in batches:
            ahead = batch, thread.submit(look, batch.images)
            if pending is not None:
                yield pending[0], pending[1].result()
            pending = ahead
        if pending is not None:
            yield pending[0], pending[1].result()


def _check_share(run: Run) -> None:
    """Refuse batches that leave a process without an image."""
    batch = min(run.config.batch_size, run.training_set.samples_per_epoch)
    if batch < run.processes.count:
        raise RequestError(
            f"training.batch_size: expected at least one image for each of {run.processes.count} "
            f"processes, got {batch} in a batch; raise it or start fewer processes"
        )


def _finish_epoch(run: Run, stepper: _Stepper, position: Position) -> None:
    """Validate, write the epoch's metrics and save the state of the next epoch's start."""
    lr = stepper.optimizer.param_groups[0]["lr"]
    row: dict[str, Any] = {"epoch": position.epoch + 1, "learning_rate": lr}
    row |= {name: value / max(1, position.batch) for name, value in position.sums.items()}
    if run.processes.first and run.validate is not None:
        row |= run.validate(stepper.average.state)
        position.best_ap = max(position.best_ap, float(row.get("ap", -1.0)))
    position.epoch, position.batch, position.sums = position.epoch + 1, 0, {}
    if run.processes.first:
        append_metrics(run.folder, row)
        run.on_epoch(row, stepper.average.state)
        stepper.save(position)
    run.processes.barrier()


def _compute_type(precision: str, device: torch.device) -> torch.dtype:
    if precision == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
