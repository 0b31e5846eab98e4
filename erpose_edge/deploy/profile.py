"""Target profiles: what a device is, which engine serves it, and the budget it must keep.

A profile is data (``targets/*.yaml``): a new device of a known engine needs no code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from erpose_edge.config import Contract, Count, Fraction, Positive, Size, Whole
from erpose_edge.config_file import StrictModel, read_yaml
from erpose_edge.errors import TargetError
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
    """

    min_retention: Fraction
    max_p99_ms: Positive | None = None
    min_speedup_vs_fp32: Positive | None = None


class TensorrtFacts(StrictModel):
    """What is known of the boards or cards that a TensorRT target stands for.

    Attributes:
        compute_capability: Of their GPU, for example "8.7".
        memory_gb: Of every variant; a board shares it between CPU and GPU.
        dla_cores: Of every variant, in the order of ``memory_gb``.
        versions: Version of TensorRT by what brings it, oldest first.
    """

    compute_capability: Annotated[str, Field(pattern=r"^\d+\.\d+$")] | None = None
    memory_gb: list[Count] = Field(default_factory=list)
    dla_cores: list[Whole] = Field(default_factory=list)
    versions: Annotated[dict[Text, Text], Field(min_length=1)]


class Profile(StrictModel):
    """One deployment target.

    Attributes:
        name: How the command line names it; equals the name of its file.
        description: One line for people.
        engine: What runs the network.
        status: ``planned`` profiles are known but not served by this version.
        precisions: In the order in which they are tried; ``mixed`` is int8 with more layers in
            float; fp32 is the reference and the last resort.
        input_size: (height, width) in pixels; null takes that of the weights.
        contract: Outputs of the exported network.
        threads: Of the engine; null takes the physical cores.
        budget: What must be kept.
        device_tree: A machine is this device if its device tree is ``compatible`` with one of
            these names; elsewhere latency is measured and not judged. Null: any machine.
        isa: CPU flags worth knowing with each number, and what they mean here.
        tensorrt: The devices, for the engine ``tensorrt``; None for others.
        rules: What holds on this device.
    """

    name: Text
    description: Text
    engine: Engine
    status: Literal["available", "planned"]
    precisions: Annotated[list[Precision], Field(min_length=1)]
    input_size: Size | None = None
    contract: Contract
    threads: Count | None = None
    budget: DeviceBudget
    device_tree: list[Text] | None = None
    isa: dict[str, Text] = Field(default_factory=dict)
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
        ConfigError: Its file has a mistake.
    """
    return read_yaml(find_resource("targets", name), Profile)


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
    raise TargetError(
        f"target {profile.name}: expected a target that this version serves ({served}), got one "
        f"that is planned; `erpose-edge export` writes the ONNX that {profile.engine} reads"
    )
