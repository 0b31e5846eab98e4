"""What quantizing one layer costs: poses, AP and noise with only that layer in int8.

A layer is one convolution that the policy makes int8. Quantizing only it gives the network of the
policy that keeps every other convolution float: its weights are rounded, and so are the tensor that
it reads and the one that it makes, with whatever has to be on one scale with those. The reverse,
every layer but one, tells what making that one float would give.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from erpose_edge.errors import DataError, ImageError
from erpose_edge.metrics.image_labels import ImageLabels, Rejected
from erpose_edge.metrics.keypoint_ap import KeypointAP, evaluate
from erpose_edge.network.head import LevelOutputs
from erpose_edge.network.plan import STRIDES
from erpose_edge.network.pose_network import DeployNetwork, output_names
from erpose_edge.network.torch_runner import torch_estimator
from erpose_edge.quantization.sensitivity.pose_shift import (
    SCORE_RATIO,
    decibels,
    output_noise,
    output_power,
    pose_shift,
)
from erpose_edge.quantization.sensitivity.state import ImageRecord, SensitivityState
from erpose_edge.quantization.sensitivity.variants import KeptActivations, Variants
from erpose_edge.runtime.decode import decode
from erpose_edge.runtime.images import read_image
from erpose_edge.runtime.nms import CANDIDATES
from erpose_edge.runtime.poses import Poses
from erpose_edge.runtime.preprocess import Letterbox, preprocess
from erpose_edge.skeleton import Skeleton
from erpose_edge.validate.accuracy import SCORE_THRESHOLD, evaluate_estimator

Sample = tuple["NDArray[np.uint8] | Path", ImageLabels]
Progress = Callable[[int, int], None]

_CONTRACT = "compact"


@dataclass(frozen=True)
class PoseSettings:
    """How outputs become poses; as the artifact's manifest says it.

    Attributes:
        input_size: (height, width) of the network's input, pixels.
        skeleton: Of network and labels.
        max_poses: At most so many poses of an image.
        nms: Overlap above which the worse pose goes; None for one answer a person.
    """

    input_size: tuple[int, int]
    skeleton: Skeleton
    max_poses: int = 30
    nms: float | None = None


@dataclass(frozen=True)
class Effect:
    """What a choice of int8 layers does to the float network's answers.

    Attributes:
        oks_loss: OKS that poses lose, in [0, 1]; see `pose_shift`.
        ap: Keypoint AP.
        ap_change: ``ap`` less the float network's.
        snr_db: Signal to noise at the head's outputs by kind, dB; None without noise.
    """

    oks_loss: float
    ap: float
    ap_change: float
    snr_db: dict[str, float | None]


@dataclass(frozen=True)
class LayerEffect:
    """A layer and its effects.

    Attributes:
        layer: Name of the convolution.
        alone: With only this layer in int8.
        without: With every layer but this one in int8; None where it was not measured.
    """

    layer: str
    alone: Effect
    without: Effect | None


@dataclass(frozen=True)
class Sensitivity:
    """What was measured.

    Attributes:
        reference: Accuracy of the float network.
        int8: With every layer in int8.
        layers: In the order of their calls.
        rejected: Images that could not be used.
    """

    reference: KeypointAP
    int8: Effect
    layers: list[LayerEffect]
    rejected: list[Rejected]

    def ranked(self) -> list[LayerEffect]:
        """Return the layers, the one that costs the most OKS first."""
        return sorted(self.layers, key=lambda row: -row.alone.oks_loss)

    def to_json(self) -> dict[str, Any]:
        """Return the part of ``schemas/sensitivity.json`` that is measured here."""
        ranks = {row.layer: rank for rank, row in enumerate(self.ranked(), 1)}
        return {
            "images": self.reference.images,
            "people": self.reference.people,
            "rejected": len(self.rejected),
            "fp32": {"ap": self.reference.ap},
            "int8": asdict(self.int8),
            "layers": [
                {
                    "layer": row.layer,
                    "rank": ranks[row.layer],
                    **asdict(row.alone),
                    "without": None if row.without is None else asdict(row.without),
                }
                for row in self.layers
            ],
        }


def measure_sensitivity(
    network: fx.GraphModule,
    samples: Sequence[Sample],
    settings: PoseSettings,
    state: SensitivityState,
    *,
    reverse: bool = False,
    progress: Progress | None = None,
) -> Sensitivity:
    """Measure every layer of a calibrated network.

    Args:
        network: As `prepare` returned it, calibrated.
        samples: Images, BGR uint8 or the path of one, each with its labels.
        settings: How outputs become poses.
        state: Where records are kept; those that are there are not measured again.
        reverse: Measure every layer but one too.
        progress: Called with the variants done and their number, over all images.

    Raises:
        DataError: No image can be used.
        IntegrityError: A record is damaged.
    """
    variants = Variants(network)
    choices = _choices(variants.layers, reverse=reverse)
    reader = _PoseReader(settings)
    records: list[ImageRecord] = []
    measured: list[ImageLabels] = []
    rejected: list[Rejected] = []
    done, total = 0, len(samples) * len(choices)
    for index, (source, labels) in enumerate(samples):
        record = state.load(index)
        if record is None:
            try:
                image = read_image(source) if isinstance(source, Path) else source
            except ImageError as error:
                rejected.append(Rejected(str(source), f"image {labels.image_id}", str(error)))
                continue

            def advance(count: int, before: int = done) -> None:
                if progress:
                    progress(before + count, total)

            record = _measure(variants, choices, image, reader, advance)
            state.save(index, record)
        done += len(choices)
        if progress:
            progress(done, total)
        records.append(record)
        measured.append(labels)
    if not records:
        raise DataError(f"images: expected at least one usable image, got none of {len(samples)}")
    return _summary(variants.layers, measured, records, rejected, settings, reverse=reverse)


def samples_digest(samples: Sequence[Sample]) -> str:
    """Return a hash of which images and labels ``samples`` are; photographs by name and size."""
    digest = hashlib.sha256()
    for source, labels in samples:
        if isinstance(source, Path):
            size = source.stat().st_size if source.is_file() else -1
            digest.update(f"{source.name} {size} ".encode())
        else:
            digest.update(source.tobytes())
        digest.update(f"{labels.image_id} ".encode() + labels.keypoints.tobytes())
    return digest.hexdigest()


def measure_choice(
    variants: Variants,
    int8: Collection[str],
    samples: Sequence[Sample],
    settings: PoseSettings,
    progress: Progress | None = None,
) -> KeypointAP:
    """Return the accuracy of the network with the layers ``int8`` in int8.

    Args:
        variants: Of the network; its choice changes.
        int8: Layers.
        samples: As in `measure_sensitivity`.
        settings: How outputs become poses.
        progress: Called with the images done and their number.

    Raises:
        DataError: No image can be used.
    """
    estimator = torch_estimator(
        variants.network,
        settings.input_size,
        settings.skeleton,
        max_poses=settings.max_poses,
        score_threshold=SCORE_THRESHOLD,
        nms=settings.nms,
    )
    variants.choose(int8)
    return evaluate_estimator(estimator, samples, settings.skeleton, progress).metrics


class _PoseReader:
    """From head outputs to poses in source pixels, as `TorchRunner` and the host do it."""

    def __init__(self, settings: PoseSettings) -> None:
        self.settings = settings
        answers = settings.max_poses if settings.nms is None else CANDIDATES
        # The levels are computed already: what stands in for the network passes them on.
        self._deployed = DeployNetwork(nn.Identity(), _CONTRACT, settings.input_size, answers)
        self._sigmas = np.array(settings.skeleton.sigmas)

    def shift(self, reference: Poses, other: Poses) -> tuple[float, float]:
        return pose_shift(reference, other, self._sigmas, SCORE_THRESHOLD)

    def __call__(self, levels: LevelOutputs, letterbox: Letterbox) -> Poses:
        with torch.inference_mode():
            tensors = self._deployed(levels)
        names = output_names(_CONTRACT, boxes=len(tensors) > 3)
        outputs = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
        return decode(
            outputs,
            _CONTRACT,
            letterbox,
            STRIDES,
            SCORE_THRESHOLD / SCORE_RATIO,  # counterparts of those that count
            self.settings.max_poses,
            self.settings.nms,
        )


def _choices(layers: Sequence[str], *, reverse: bool) -> list[tuple[str, ...]]:
    """Return the int8 layers of every variant: none, all, each alone, and all but each."""
    choices: list[tuple[str, ...]] = [(), tuple(layers), *((layer,) for layer in layers)]
    if reverse:
        choices += [tuple(other for other in layers if other != layer) for layer in layers]
    return choices


def _measure(
    variants: Variants,
    choices: Sequence[tuple[str, ...]],
    image: NDArray[np.uint8],
    reader: _PoseReader,
    advance: Callable[[int], None],
) -> ImageRecord:
    pixels, letterbox = preprocess(image, reader.settings.input_size)
    inputs = torch.from_numpy(pixels)
    near = {0: KeptActivations(variants, inputs, ())}  # what most layers of a choice agree with
    reference = near[0].outputs
    poses = [reader(reference, letterbox)]
    shifts = [reader.shift(poses[0], poses[0])]
    noise = [output_noise(reference, reference)]
    for done, int8 in enumerate(choices[1:], 2):
        mostly = int(2 * len(int8) > len(variants.layers))
        if mostly not in near:
            near[mostly] = KeptActivations(variants, inputs, variants.layers)
        levels = near[mostly].under(int8)
        poses.append(reader(levels, letterbox))
        shifts.append(reader.shift(poses[0], poses[-1]))
        noise.append(output_noise(levels, reference))
        advance(done)
    lost, total = np.array(shifts).T
    return ImageRecord(poses, lost, total, output_power(reference), np.array(noise))


def _counted(poses: Poses) -> Poses:
    """Return the poses that keypoint AP is measured with."""
    count = int(np.count_nonzero(poses.scores >= SCORE_THRESHOLD))
    return Poses(poses.scores[:count], poses.keypoints[:count], poses.visibility[:count])


def _summary(
    layers: Sequence[str],
    labels: list[ImageLabels],
    records: list[ImageRecord],
    rejected: list[Rejected],
    settings: PoseSettings,
    *,
    reverse: bool,
) -> Sensitivity:
    lost, total = (np.sum([getattr(r, name) for r in records], 0) for name in ("lost", "total"))
    power, noise = (np.sum([getattr(r, name) for r in records], 0) for name in ("power", "noise"))
    accuracy = [
        evaluate(
            labels,
            {i.image_id: _counted(r.poses[v]) for i, r in zip(labels, records, strict=True)},
            settings.skeleton,
        )
        for v in range(len(lost))
    ]

    def effect(variant: int) -> Effect:
        ap = accuracy[variant].ap
        return Effect(
            oks_loss=float(lost[variant] / max(total[variant], np.finfo(float).tiny)),
            ap=ap,
            ap_change=ap - accuracy[0].ap,
            snr_db=decibels(power, noise[variant]),
        )

    count = len(layers)
    rows = [
        LayerEffect(layer, effect(2 + i), effect(2 + count + i) if reverse else None)
        for i, layer in enumerate(layers)
    ]
    return Sensitivity(accuracy[0], effect(1), rows, rejected)
