"""From float weights to quantized ones: calibrate, then fine-tune with fake-quantization.

Fine-tuning runs the float trainer's own loop on the network with both branches, of which only what
is deployed is fake-quantized. Ranges follow the weights at first and are then frozen, so that the
last epochs teach the network the very rounding that the engines will do.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from erpose_edge.config import RunConfig, TrainingConfig
from erpose_edge.errors import RequestError
from erpose_edge.network.checkpoint import Weights, fill_network
from erpose_edge.network.pose_network import ERPose
from erpose_edge.quantization.calibrate import CalibrationImages, Progress, calibrate
from erpose_edge.quantization.checkpoint import quantized_weights
from erpose_edge.quantization.fake_quantize import activation_quantizers, set_mode, set_momentum
from erpose_edge.quantization.prepare import prepare, prepare_both_branches
from erpose_edge.quantization.recipe import fingerprint, load_calibration, load_policy
from erpose_edge.skeleton import skeleton_named
from erpose_edge.training.distributed import Processes
from erpose_edge.training.loop import Run, StepReport, fit
from erpose_edge.training.objective import Features, Objective, TrainingOutputs
from erpose_edge.training.session import open_training_set
from erpose_edge.training.shared_cache import share_cache
from erpose_edge.training.state import STATE_FILE

# How much of a range each batch keeps while ranges follow the weights.
_RANGE_MOMENTUM = 0.99
_WARMUP_EPOCHS = 0.1

Validate = Callable[[fx.GraphModule], dict[str, Any]]


class TrainingGraph(nn.Module):
    """Both branches with fake-quantization behind the interface of the training loop."""

    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, _: Features | None = None) -> TrainingOutputs:
        """Return both branches for RGB images (B, 3, H, W) in [0, 1]."""
        if self.training:
            for quantizer in activation_quantizers(self.network).values():
                quantizer.follow_batch()
        one_to_one, dense = self.network(images)
        return TrainingOutputs(one_to_one, dense, None)


class Quantization:
    """One network on its way to int8: `calibrate` it, `fine_tune` it or not, take its `weights`.

    Args:
        weights: Float weights with both branches.
        config: ``qat`` says how; data, losses and augmentation are those of float training.

    Attributes:
        network: The deployed branch, fake-quantized once it is calibrated.

    Raises:
        ConfigError: Policy and network do not fit each other, or one of both recipes is unknown.
        WeightsError: ``weights`` are not float, or of another network than the config's.
    """

    def __init__(self, weights: Weights, config: RunConfig) -> None:
        self._config = config
        self._policy = load_policy(config.qat.policy)
        self._recipe = load_calibration(config.qat.calibration)
        self._float = _float_network(weights, config)
        self.network = prepare(self._float, self._policy)
        self._details = {
            "calibration": config.qat.calibration,
            "calibration_sha256": fingerprint(self._recipe),
            "policy_sha256": fingerprint(self._policy),
            "float_weights_sha256": weights.sha256,
        }

    def calibrate(self, progress: Progress | None = None) -> None:
        """Choose the range of every tensor.

        Args:
            progress: Called with the images done and their number.

        Raises:
            DataError: Calibration images cannot be used.
        """
        qat = self._config.qat
        calibrate(
            self.network,
            CalibrationImages(self._recipe, self._config.network.input_size),
            observer=qat.observer,
            percentile=qat.percentile,
            progress=progress,
        )

    def fine_tune(
        self,
        folder: Path,
        processes: Processes,
        *,
        resume: bool = False,
        on_step: Callable[[StepReport], None] = lambda _: None,
        validate: Validate | None = None,
    ) -> None:
        """Train the calibrated network for ``qat.epochs``.

        Args:
            folder: Where state and metrics go.
            processes: This process among the others of the run.
            resume: Go on from the state in ``folder``; without one, or without ``resume``, start.
            on_step: Called after every step.
            validate: Returns metrics of the deployed network after an epoch, ``ap`` among them.

        Raises:
            RequestError: ``folder`` holds a run and ``resume`` is False.
            DataError: Training images cannot be used.
            IntegrityError: ``folder`` holds the state of another run.
        """
        config = self._config
        if not resume and (folder / STATE_FILE).exists():
            raise RequestError(
                f"run {folder}: expected an empty folder, got one with a run in it; "
                "pass --resume to go on with it or --out for another folder"
            )
        torch.manual_seed(config.seed)
        both = prepare_both_branches(self._float, self._policy)
        chosen = activation_quantizers(self.network)
        for name, quantizer in activation_quantizers(both).items():
            quantizer.take_over(chosen[name])
        set_mode(both, "fake")

        def follow_or_freeze(epoch: int) -> None:
            set_momentum(both, _RANGE_MOMENTUM if epoch < config.qat.freeze_epoch else None)

        def validate_average(state: dict[str, Tensor]) -> dict[str, Any]:
            self._fill(state)
            return validate(self.network) if validate else {}

        training = fine_tuning_config(config)
        if training.freeze_backbone:  # it is rounded, and neck and head learn what it then gives
            both.backbone.requires_grad_(False)
        skeleton = skeleton_named(config.skeleton)
        training_set = open_training_set(config, training, lambda _: None)
        share_cache(training_set, config.data.cache_mb, processes)
        folder.mkdir(parents=True, exist_ok=True)
        run = Run(
            module=TrainingGraph(both),
            objective=Objective(training, skeleton, training.input_size, processes.normaliser),
            training_set=training_set,
            config=training,
            folder=folder,
            processes=processes,
            workers=config.data.workers,
            # A run goes on only from the same weights and recipes, whatever their files' names.
            fingerprint=json.dumps([config.fingerprint(), self._details], sort_keys=True),
            validate=validate_average if validate else None,
            before_epoch=follow_or_freeze,
            on_step=on_step,
        )
        self._fill(fit(run))

    def weights(self, *, half: bool = False) -> Weights:
        """Return the content of the weights file; ``half`` as in `quantized_weights`."""
        config = self._config.model_dump(mode="json")
        return quantized_weights(self.network, config, self._policy, self._details, half=half)

    def _fill(self, state: dict[str, Tensor]) -> None:
        """Take the deployed part of a `TrainingGraph`'s state."""
        names = self.network.state_dict()
        self.network.load_state_dict({name: state[f"network.{name}"].cpu() for name in names})


def fine_tuning_config(config: RunConfig) -> TrainingConfig:
    """Return the settings of float training, changed for fine-tuning."""
    qat = config.qat
    return config.training.model_copy(
        update={
            "epochs": qat.epochs,
            "learning_rate": qat.learning_rate,
            "batch_size": qat.batch_size,
            "samples_per_epoch": qat.samples_per_epoch,
            "ema_decay": qat.ema_decay,
            "warmup_epochs": _WARMUP_EPOCHS,
            "close_mosaic_epochs": 1,
            # Poses are good from the start, so OKS decides the assignment at once.
            "assignment": config.training.assignment.model_copy(update={"prior_epochs": 0.0}),
            # Rounding to the int8 grid needs the mantissa of float32.
            "precision": "fp32",
        }
    )


def _float_network(weights: Weights, config: RunConfig) -> ERPose:
    network = ERPose(config.network, len(skeleton_named(config.skeleton)))
    fill_network(network, weights)
    return network.eval()
