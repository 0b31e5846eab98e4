"""The schema of a run: what ``configs/*.yaml`` may hold, and ``load_config`` that reads it.

Unknown keys, wrong types and values out of range are errors that name file, line and key. Paths
are relative to the current directory. Sizes are (height, width) in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from erpose_edge.config_file import StrictModel, dump_yaml, model_from_mapping, read_yaml
from erpose_edge.resources import find_resource

Scale = Literal["n", "s", "m", "l", "x"]
Activation = Literal["relu", "relu6", "silu", "hardswish"]
Contract = Literal["raw", "decoded", "compact"]
SkeletonName = Literal["coco-17", "crowdpose-14"]


def _not_empty(path: Path) -> Path:
    if path == Path():
        raise PydanticCustomError("rule", "", {"key": (), "expected": "a path", "got": ""})
    return path


Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
# YAML and JSON have neither tuples nor paths, so these two take what they do have.
Side = Annotated[int, Field(ge=64, le=2048, multiple_of=32)]
Size = Annotated[tuple[Side, Side], Strict(False)]
FilePath = Annotated[Path, Strict(False), AfterValidator(_not_empty)]


class NetworkConfig(StrictModel):
    """Which ER-Pose network.

    Attributes:
        scale: Width and depth.
        backbone: ``csp``; ``mobile``: MobileNetV2, whose weights can start from MoveNet's; or
            ``efficientnet-lite0``, whose weights can start from ImageNet.
        activation: After every convolution block; ``relu`` is the one that all int8 engines run
            fast. A backbone other than ``csp`` has relu6 whatever it is.
        input_size: (height, width) of the deployed network in pixels, multiples of 32.
        pose_tower: ``dense``: 3x3 convolutions; ``depthwise``: depthwise and 1x1 ones.
        pose_width: Channels inside the pose tower; null takes those of the scale.
        boxes: A box branch beside score and pose, as box-driven networks have it.
        one_to_one: Deploy a branch that answers once for a person; false has the dense branch
            alone, which is deployed with NMS.
    """

    scale: Scale
    backbone: Literal["csp", "mobile", "efficientnet-lite0"] = "csp"
    activation: Activation = "relu"
    input_size: Size = (640, 640)
    pose_tower: Literal["dense", "depthwise"] = "dense"
    pose_width: Annotated[int, Field(ge=8, le=512, multiple_of=8)] | None = None
    boxes: bool = False
    one_to_one: bool = True


class LabelledSource(StrictModel):
    """Labelled photographs.

    Attributes:
        kind: Format of the label file.
        labels: Label file (JSON).
        images: Folder that the label file's file names are relative to.
        weight: How often its images are drawn against those of other sources, per image.
        empty: Part of that for its images in which nobody is to be found; 0 leaves them out.
    """

    kind: Literal["coco", "crowdpose"]
    labels: FilePath
    images: FilePath
    weight: Positive = 1.0
    empty: NotNegative = 1.0


class GeneratedSource(StrictModel):
    """Generated people, with COCO-17 keypoints.

    Attributes:
        kind: ``generated``.
        count: Number of scenes.
        seed: Different seeds share no scene; the same gives the same on every platform.
        size: (height, width) of the scenes in pixels.
        weight: As in ``LabelledSource``.
    """

    kind: Literal["generated"]
    count: Count
    seed: Whole = 0
    size: Size = (480, 640)
    weight: Positive = 1.0


DataSource = Annotated[LabelledSource | GeneratedSource, Field(discriminator="kind")]


class AugmentationConfig(StrictModel):
    """How training images are varied.

    Attributes:
        mosaic: Probability of a mosaic of four images.
        paste: Probability of pasting people of another image.
        mirror: Probability of a left-right mirror.
        rotate_deg: Largest rotation either way, degrees.
        scale: Smallest and largest zoom.
        translate: Largest shift either way, fraction of the side.
        hue: Largest change, fraction of the colour circle.
        saturation: Largest relative change.
        value: Largest relative change of brightness.
    """

    mosaic: Fraction = 0.5
    paste: Fraction = 0.1
    mirror: Fraction = 0.5
    rotate_deg: Annotated[float, Field(ge=0, le=180)] = 10.0
    scale: Annotated[
        tuple[
            Annotated[float, Field(gt=0, le=4)],
            Annotated[float, Field(gt=0, le=4)],
        ],
        Strict(False),
    ] = (0.6, 1.4)
    translate: Fraction = 0.1
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.015
    saturation: Fraction = 0.6
    value: Fraction = 0.4

    @model_validator(mode="after")
    def _scale_is_a_range(self) -> AugmentationConfig:
        if self.scale[0] > self.scale[1]:
            raise _rule(("scale",), "[smallest, largest]", list(self.scale))
        return self


class DataConfig(StrictModel):
    """What is learned from and what is measured on.

    Attributes:
        train: Sources, drawn from by their weights.
        val: Source of the keypoint AP after each epoch.
        workers: Loader processes; 0 loads in the main process. The data do not depend on it.
        cache_mb: Memory for decoded training images, shared by the processes of a machine; ``auto``
            takes up to half of what is free at the start, 0 keeps none. The data do not depend
            on it.
        augmentation: How training images are varied.
    """

    train: Annotated[list[DataSource], Field(min_length=1)]
    val: DataSource
    workers: Whole = 2
    cache_mb: Literal["auto"] | Whole = "auto"
    augmentation: AugmentationConfig = AugmentationConfig()


class LossConfig(StrictModel):
    """Weights of the parts of the loss.

    Attributes:
        score: Person score.
        pose: OKS loss of the keypoints.
        visibility: Keypoint visibility.
        smooth: Lambda of the long-range term that keeps a gradient where OKS is flat; 0 is the
            plain OKS loss.
        box: CIoU loss of predicted boxes; used with ``network.boxes``.
        dfl: Distribution focal loss of predicted boxes; used with ``network.boxes``.
    """

    score: NotNegative = 1.0
    pose: NotNegative = 6.0
    visibility: NotNegative = 0.5
    smooth: NotNegative = 0.3
    box: NotNegative = 7.5
    dfl: NotNegative = 1.5


class AssignmentConfig(StrictModel):
    """Which grid points learn which person: the best by score^alpha * quality^beta.

    Attributes:
        metric: What quality is. ``oks``: OKS of the predicted keypoints, at every grid point.
            ``box``: IoU with the person's box, at the grid points inside it; of the predicted
            box with ``network.boxes``, else of the rectangles around keypoints.
        topk: Grid points per person in the one-to-many branch.
        alpha: Exponent of the score.
        beta: Exponent of the quality.
        prior_epochs: Epochs in which the distance to the person decides, as OKS is still noise;
            ``box`` has its boxes for that and no prior.
        contrast: OKS puts a person's best grid point at least this many times above its tenth:
            beta is raised for people where it does not; 1 raises nothing.
    """

    metric: Literal["oks", "box"] = "oks"
    topk: Count = 10
    alpha: NotNegative = 0.5
    beta: NotNegative = 6.0
    prior_epochs: NotNegative = 1.0
    contrast: Annotated[float, Field(ge=1)] = 2.0


class TeacherConfig(StrictModel):
    """MoveNet MultiPose, whose features and heat maps are imitated.

    Attributes:
        weights: Its .tflite file; null trains without a teacher.
        weight: Weight of the imitation in the loss.
    """

    weights: FilePath | None = None
    weight: NotNegative = 1.0


class TrainingConfig(StrictModel):
    """Float training.

    Attributes:
        input_size: (height, width) of training images in pixels, multiples of 32.
        epochs: Passes over the training samples.
        samples_per_epoch: Samples of an epoch; 0 takes all.
        batch_size: Images of one optimizer step over all processes.
        optimizer: ``adamw`` or ``sgd``.
        learning_rate: Peak, after warm-up.
        weight_decay: Of convolution weights only.
        warmup_epochs: Length of the rise to the peak.
        final_lr_fraction: Last learning rate over the peak (cosine between).
        ema_decay: Of the averaged weights that are validated and saved; 0 averages nothing.
        gradient_clip: Largest gradient norm; 0 clips nothing.
        precision: ``auto`` takes bf16 or fp16 on CUDA and fp32 elsewhere.
        close_mosaic_epochs: Last epochs, without mosaic.
        init: Weights to start from; null starts from random ones.
        backbone: What the backbone starts from; not used with ``init``. MoveNet MultiPose
            (.tflite) for ``network.backbone: mobile``, the checkpoint of ImageNet (.pth) for
            ``efficientnet-lite0``.
        freeze_backbone: Train neck and head only. On a CPU the backbone then runs on
            OpenVINO, ahead of the others.
        loss: Weights of the parts of the loss.
        assignment: Which grid points learn which person.
        teacher: Another network to imitate.
    """

    input_size: Size = (320, 320)
    epochs: Count = 30
    samples_per_epoch: Whole = 0
    batch_size: Count = 16
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.05
    warmup_epochs: NotNegative = 1.0
    final_lr_fraction: Fraction = 0.02
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.998
    gradient_clip: NotNegative = 10.0
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    close_mosaic_epochs: Whole = 5
    init: FilePath | None = None
    backbone: FilePath | None = None
    freeze_backbone: bool = False
    loss: LossConfig = LossConfig()
    assignment: AssignmentConfig = AssignmentConfig()
    teacher: TeacherConfig = TeacherConfig()


class QatConfig(StrictModel):
    """Quantization-aware fine-tuning.

    Attributes:
        epochs: Passes over the training samples; 0 only calibrates.
        learning_rate: Peak.
        batch_size: Images of one optimizer step.
        calibration: Calibration set, bundled name or path.
        policy: What stays float, bundled name or path.
        observer: How a range is chosen from what calibration saw.
        percentile: Of ``observer: percentile``.
        freeze_epoch: From this epoch on (the first is 0) ranges are fixed; at or past ``epochs``
            they are fixed at the end.
        samples_per_epoch: Samples of an epoch; 0 takes all.
        ema_decay: Of the averaged weights; fine-tuning is short, and what is averaged for longer
            than it lasts is the weights that it began with.
    """

    epochs: Whole = 3
    learning_rate: Positive = 1e-4
    batch_size: Count = 16
    calibration: Annotated[str, Field(min_length=1)] = "generated-256"
    policy: Annotated[str, Field(min_length=1)] = "policies/default"
    observer: Literal["minmax", "percentile", "mse"] = "mse"
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.99
    freeze_epoch: Whole = 2
    samples_per_epoch: Whole = 0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99


class ExportConfig(StrictModel):
    """The deployed graph.

    Attributes:
        contract: ``raw`` (host decodes), ``decoded`` (all grid points) or ``compact`` (best
            poses picked in the graph).
        max_poses: Poses that ``compact`` returns.
        score_threshold: Poses with a lower score are not shown; evaluation uses its own.
        nms: IoU above which the pose with the lower score goes; used where
            ``network.one_to_one`` is false. Of predicted boxes where there are, else of the
            rectangles around keypoints.
    """

    contract: Contract = "compact"
    max_poses: Annotated[int, Field(ge=1, le=1000)] = 30
    score_threshold: Fraction = 0.3
    nms: Annotated[float, Field(gt=0, le=1)] = 0.65


class RunConfig(StrictModel):
    """Everything a run depends on; saved with every run and in every weights file."""

    skeleton: SkeletonName = "coco-17"
    seed: Whole = 0
    network: NetworkConfig
    data: DataConfig
    training: TrainingConfig = TrainingConfig()
    qat: QatConfig = QatConfig()
    export: ExportConfig = ExportConfig()

    @property
    def nms(self) -> float | None:
        """Overlap above which poses are suppressed; None where a person is answered once."""
        return None if self.network.one_to_one else self.export.nms

    def fingerprint(self) -> str:
        """Return what a resumed run must have in common with the one before it.

        How many processes load the data, and what they keep, changes nothing, so it does not count.
        """
        return self.model_dump_json(exclude={"data": {"workers", "cache_mb"}})

    @model_validator(mode="after")
    def _sources_have_the_skeleton(self) -> RunConfig:
        provides = {"coco": "coco-17", "generated": "coco-17", "crowdpose": "crowdpose-14"}
        sources = [(("train", i), source) for i, source in enumerate(self.data.train)]
        for key, source in (*sources, (("val",), self.data.val)):
            if provides[source.kind] != self.skeleton:
                kinds = " or ".join(k for k, name in provides.items() if name == self.skeleton)
                expected = f"{kinds}, which {self.skeleton} needs"
                raise _rule(("data", *key, "kind"), expected, source.kind)
        return self


def load_config(cfg: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the config ``cfg`` with ``overrides`` applied.

    Args:
        cfg: A path, or the name of a bundled config (``n`` or ``n.yaml``); the path wins.
        overrides: ``a.b=value`` each, the value written in YAML.

    Raises:
        ConfigError: The message names file, line and key, or the override.
    """
    return read_yaml(find_resource("configs", cfg), RunConfig, overrides)


def config_from_mapping(values: object, name: str) -> RunConfig:
    """Return the config that ``dump_config`` or ``RunConfig.model_dump`` wrote.

    Args:
        values: What a JSON or YAML parser returned.
        name: Where the values came from, for messages.

    Raises:
        ConfigError: The values do not fit the schema of this version.
    """
    return model_from_mapping(values, RunConfig, name)


def dump_config(config: RunConfig) -> str:
    """Return the resolved config as YAML that ``load_config`` reads back to an equal config."""
    return dump_yaml(config)


def _rule(key: tuple[str | int, ...], expected: str, got: Any) -> PydanticCustomError:  # noqa: ANN401
    """Return the error of a rule between settings, naming the setting ``key`` under this one."""
    message = f"expected {expected}"
    return PydanticCustomError("rule", message, {"key": key, "expected": expected, "got": got})
