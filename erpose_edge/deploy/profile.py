"""Target profiles: what a device is, which engine serves it, and the budget it must keep.

A profile is data (``targets/*.yaml``): a new device of a known engine needs no code. What is known
of the devices themselves is in the registry (``targets/facts/``), whose entries a profile names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from erpose_edge.config import Contract, Count, Fraction, Positive, Size, Whole
from erpose_edge.config_file import StrictModel, read_yaml
from erpose_edge.deploy.registry import load_registry
from erpose_edge.deploy.registry.of_target import device_tree_names, require_known, tensorrt_facts
from erpose_edge.errors import ConfigError, TargetError
from erpose_edge.resources import find_resource, list_resources

Engine = Literal["openvino", "onnxruntime", "tensorrt", "tflite"]
Precision = Literal["fp32", "fp16", "mixed", "int8"]
Text = Annotated[str, Field(min_length=1)]


class Rule(StrictModel):
    """Something that holds on this device, and who says so.

    Attributes:
        rule: One sentence.
        source: A page, or ``measured`` with the circumstances.
    """

    rule: Text
    source: Text


class DeviceBudget(StrictModel):
    """What an artifact must keep to be chosen; null asks for nothing.

    Attributes:
        min_retention: Smallest keypoint AP as a fraction of fp32's on the same images.
        max_p99_ms: Largest 99th percentile of the end-to-end latency, ms.
        min_speedup_vs_fp32: Smallest ratio of the median inference times, fp32 over this one,
            timed in turns; below it the lower precision has no point on this device.
        max_jitter: Largest jitter of keypoints on a clip, percent of a person's diagonal.
        min_int8_share: Smallest part of the artifact's int8 convolutions that the engine runs in
            int8.
    """

    min_retention: Fraction
    max_p99_ms: Positive | None = None
    min_speedup_vs_fp32: Positive | None = None
    max_jitter: Positive | None = None
    min_int8_share: Fraction | None = None


class TensorrtFacts(StrictModel):
    """What is known of the boards or cards that a TensorRT target stands for.

    Attributes:
        compute_capability: Of their GPU, for example "8.7".
        memory_gb: Of every module; a board shares it between CPU and GPU.
        dla_cores: Of every module, in the order of ``memory_gb``.
        versions: Version of TensorRT by what brings it, oldest first.
        max_dla_transitions: An engine for DLA that changes more often between GPU and DLA is
            refused; null: it is not.
    """

    compute_capability: Annotated[str, Field(pattern=r"^\d+\.\d+$")] | None = None
    memory_gb: list[Count] = Field(default_factory=list)
    dla_cores: list[Whole] = Field(default_factory=list)
    versions: dict[Text, Text] = Field(default_factory=dict)
    max_dla_transitions: Whole | None = None


class Profile(StrictModel):
    """One deployment target.

    Attributes:
        name: How the command line names it; equals the name of its file.
        description: One line for people.
        engine: What runs the network.
        status: ``planned`` profiles are known but not served by this version.
        way_out: What the owner of a planned target can do, in words.
        precisions: In the order in which they are tried; ``mixed`` is int8 with more layers in
            float; fp32 is the reference and the last resort.
        input_size: (height, width) in pixels; null takes that of the weights.
        contract: Outputs of the exported network.
        threads: Of the engine; null takes the physical cores.
        budget: What must be kept.
        modules: Jetson modules of the registry that the target stands for.
        flash: How they were flashed; null: either way.
        boards: Boards of the registry that the target stands for.
        cpus: Classes of processors of the registry that it runs on.
        mobiles: Parts of phones of the registry that it runs on.
        device_tree: A machine is this device if its device tree is ``compatible`` with one of
            these names; elsewhere latency is measured and not judged. Null in a file: those of
            ``modules`` and ``boards``, or any machine where there are none.
        tensorrt: The devices, for the engine ``tensorrt``; what a file leaves out is that of its
            ``modules``.
        rules: What holds on this device beside the registry's rules.
    """

    name: Text
    description: Text
    engine: Engine
    status: Literal["available", "planned"]
    way_out: Text | None = None
    precisions: Annotated[list[Precision], Field(min_length=1)]
    input_size: Size | None = None
    contract: Contract
    threads: Count | None = None
    budget: DeviceBudget
    modules: list[Text] = Field(default_factory=list)
    flash: Literal["original", "super"] | None = None
    boards: list[Text] = Field(default_factory=list)
    cpus: list[Text] = Field(default_factory=list)
    mobiles: list[Text] = Field(default_factory=list)
    device_tree: list[Text] | None = None
    tensorrt: TensorrtFacts | None = None
    rules: list[Rule] = Field(default_factory=list)

    @property
    def tensorrt_versions(self) -> dict[str, str]:
        """Version of TensorRT by what brings it; empty for other engines."""
        return self.tensorrt.versions if self.tensorrt else {}


def load_profile(name: str | Path) -> Profile:
    """Return the profile at the path, or bundled under the name, ``name``.

    Raises:
        TargetError: There is no such target.
        ConfigError: Its file has a mistake, or names what the registry does not have.
    """
    path = find_resource("targets", name)
    profile = read_yaml(path, Profile)
    registry = load_registry()
    require_known(profile, registry, str(path))
    derived: dict[str, object] = {}
    if profile.device_tree is None:
        derived["device_tree"] = device_tree_names(profile, registry)
    if profile.engine == "tensorrt":
        own = profile.tensorrt.model_dump(exclude_unset=True) if profile.tensorrt else {}
        facts = TensorrtFacts(**{**tensorrt_facts(profile, registry), **own})
        if not facts.versions:
            raise ConfigError(
                f"{path}: tensorrt.versions: expected at least one version, got none; name modules "
                "of the registry, or versions by what brings them"
            )
        derived["tensorrt"] = facts
    return profile.model_copy(update=derived)


def list_profiles() -> list[Profile]:
    """Return every bundled profile, by name."""
    return [load_profile(name) for name in list_resources("targets")]


def require_available(profile: Profile) -> None:
    """Refuse a profile that this version cannot serve.

    Raises:
        TargetError: The profile is planned; the message names the targets that are available.
    """
    if profile.status == "available":
        return
    served = ", ".join(p.name for p in list_profiles() if p.status == "available")
    way_out = profile.way_out or (
        f"`erpose-edge export` writes the ONNX that {profile.engine} reads"
    )
    raise TargetError(
        f"target {profile.name}: expected a target that this version serves ({served}), got one "
        f"that is planned; {way_out}"
    )
