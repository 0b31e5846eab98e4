"""A float training run from its config: everything that ends up in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from erpose_edge.config import RunConfig, TrainingConfig, dump_config
from erpose_edge.data.sources import open_source, weights_of
from erpose_edge.data.training_set import TrainingSet
from erpose_edge.errors import RequestError
from erpose_edge.metrics.image_labels import Rejected
from erpose_edge.network.checkpoint import Weights, fill_network, load_weights, save_weights
from erpose_edge.network.pose_network import ERPose
from erpose_edge.network.torch_runner import torch_estimator
from erpose_edge.skeleton import skeleton_named
from erpose_edge.training.curves import draw_samples, plot_curves
from erpose_edge.training.distributed import Processes
from erpose_edge.training.loader import LoadPlan, load_batches, rgb_input
from erpose_edge.training.loop import SAVE_EVERY_S, Run, StepReport, fit
from erpose_edge.training.objective import Objective, TrainingNetwork
from erpose_edge.training.pretrained import FrozenBackbone, start_backbone
from erpose_edge.training.shared_cache import share_cache
from erpose_edge.training.state import METRICS_FILE, STATE_FILE, read_metrics, read_state
from erpose_edge.training.teacher import Teacher
from erpose_edge.training.validation import Progress, measure_accuracy

WEIGHTS_FILE = "weights.safetensors"  # averaged weights of the last epoch
BEST_FILE = "best.safetensors"  # those of the epoch with the highest validation AP
CONFIG_FILE = "config.yaml"
_MEASURED_IMAGES = 64  # that batch norm of a pre-trained backbone is measured on
CURVES_FILE = "curves.png"
SAMPLES_FILE = "samples.jpg"


@dataclass(frozen=True)
class Watch:
    """Who is told how the run goes.

    Attributes:
        on_step: Called after every step.
        on_validation: Called with the images validated and their number.
        on_rejected: Called once with the label entries that cannot be used.
    """

    on_step: Callable[[StepReport], None] = lambda _: None
    on_validation: Progress = lambda _done, _total: None
    on_rejected: Callable[[list[Rejected]], None] = lambda _: None


def open_training_set(
    config: RunConfig, training: TrainingConfig, on_rejected: Callable[[list[Rejected]], None]
) -> TrainingSet:
    """Open the sources of ``data.train``.

    Args:
        config: Sources, augmentation, skeleton and seed.
        training: Input size and samples of an epoch; fine-tuning brings its own.
        on_rejected: Called with the label entries that cannot be used.

    Raises:
        DataError: A source cannot be used at all.
    """
    skeleton = skeleton_named(config.skeleton)
    opened = [open_source(source, skeleton) for source in config.data.train]
    on_rejected([entry for source in opened for entry in source.rejected])
    sources = [(s, weights_of(c, s)) for c, s in zip(config.data.train, opened, strict=True)]
    return TrainingSet(
        sources,
        config.data.augmentation,
        training.input_size,
        skeleton,
        config.seed,
        training.samples_per_epoch,
    )


def train(
    config: RunConfig,
    folder: Path,
    processes: Processes,
    watch: Watch,
    *,
    resume: bool,
    validate: bool = True,
    save_every_s: float = SAVE_EVERY_S,
) -> list[dict[str, Any]]:
    """Train, and fill ``folder`` with weights, config, metrics, curves and sample pictures.

    Args:
        config: Of the run.
        folder: Made if missing.
        processes: This process among the others.
        watch: Who is told.
        resume: Go on from the state in ``folder``; without one, or without ``resume``, start.
        validate: Measure AP on ``data.val`` after each epoch.
        save_every_s: Seconds between two saves of the state within an epoch.

    Returns:
        The rows of ``metrics.jsonl``, one an epoch.

    Raises:
        RequestError: ``folder`` holds another run and ``resume`` is False.
        DataError: Training data cannot be used.
        WeightsError: ``training.init``, ``training.backbone`` or the teacher is of another network.
        IntegrityError: The state of the run is damaged, or of another config.
    """
    torch.manual_seed(config.seed)
    _check_folder(folder, config, resume=resume)
    training, skeleton = config.training, skeleton_named(config.skeleton)
    training_set = open_training_set(config, training, watch.on_rejected)
    share_cache(training_set, config.data.cache_mb, processes)
    network = ERPose(config.network, len(skeleton))
    _initialise(network, training, training_set)
    bf16 = training.precision == "bf16"
    teacher = None
    if training.teacher.weights is not None:
        teacher = Teacher(training.teacher.weights, bf16=bf16)
    frozen = None
    if training.freeze_backbone:
        network.backbone.requires_grad_(False).eval()
    if training.freeze_backbone and processes.device.type == "cpu":
        frozen = FrozenBackbone(network.backbone, bf16=bf16)
    if processes.first:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG_FILE).write_text(dump_config(config), encoding="utf-8")
    processes.barrier()
    results = _Results(config, folder, watch)
    fit(
        Run(
            module=TrainingNetwork(network, imitates=teacher is not None),
            objective=Objective(training, skeleton, training.input_size, processes.normaliser),
            training_set=training_set,
            config=training,
            folder=folder,
            processes=processes,
            workers=config.data.workers,
            fingerprint=config.fingerprint(),
            teacher=teacher,
            frozen=frozen,
            validate=results.validate if validate else None,
            on_step=watch.on_step,
            on_epoch=results.write,
            save_every_s=save_every_s,
        )
    )
    return read_metrics(folder)


def _initialise(network: ERPose, training: TrainingConfig, training_set: TrainingSet) -> None:
    """Fill the network with the weights that it starts from, if any."""
    if training.init is not None:
        fill_network(network, load_weights(training.init))
    elif training.backbone is not None:
        start_backbone(network, training.backbone, lambda: _some_images(training_set))


def _some_images(training_set: TrainingSet) -> Tensor:
    """Return training images (B, 3, H, W) as the network takes them: RGB in [0, 1]."""
    batch = min(_MEASURED_IMAGES, training_set.samples_per_epoch)
    plan = LoadPlan(0, 0, 1, batch, 0, 1, mosaic_epochs=1)
    return rgb_input(next(load_batches(training_set, plan, 0)).images)


def _check_folder(folder: Path, config: RunConfig, *, resume: bool) -> None:
    """Refuse a folder whose run would be lost, before anything is written into it."""
    if not (folder / STATE_FILE).exists():
        return
    if not resume:
        raise RequestError(
            f"run {folder}: expected an empty folder, got one with a run in it; "
            "pass --resume to go on with it or --out for another folder"
        )
    read_state(folder, config.fingerprint())


class _Results:
    """Writes what an epoch leaves behind."""

    def __init__(self, config: RunConfig, folder: Path, watch: Watch) -> None:
        self._config, self._folder, self._watch = config, folder, watch
        self._skeleton = skeleton_named(config.skeleton)
        self._network = ERPose(config.network, len(self._skeleton)).eval()

    def validate(self, state: dict[str, Tensor]) -> dict[str, Any]:
        self._fill(state)
        metrics = measure_accuracy(self._network, self._config, self._watch.on_validation).metrics
        return {name: getattr(metrics, name) for name in ("ap", "ap50", "ap75", "ar")}

    def write(self, row: dict[str, Any], state: dict[str, Tensor]) -> None:
        rows = read_metrics(self._folder)
        self._fill(state)
        weights = Weights(
            self._network.state_dict(),
            kind="float",
            config=json.loads(self._config.model_dump_json()),
            details={"metrics": row},
        )
        save_weights(self._folder / WEIGHTS_FILE, weights)
        if "ap" in row and row["ap"] >= max(r.get("ap", -1.0) for r in rows):
            save_weights(self._folder / BEST_FILE, weights)
        plot_curves(rows, self._folder / CURVES_FILE)
        if "ap" in row:
            estimator = torch_estimator(
                self._network,
                self._config.network.input_size,
                self._skeleton,
                nms=self._config.nms,
            )
            source = open_source(self._config.data.val, self._skeleton)
            draw_samples(estimator, source, self._folder / SAMPLES_FILE)

    def _fill(self, state: dict[str, Tensor]) -> None:
        prefix = "network."
        self._network.load_state_dict(
            {k[len(prefix) :]: v.cpu() for k, v in state.items() if k.startswith(prefix)}
        )


__all__ = ["BEST_FILE", "METRICS_FILE", "WEIGHTS_FILE", "Watch", "open_training_set", "train"]
