"""What is known of devices and of the software on them: the entries of the registry.

The files are ``targets/facts/*.yaml``; they are checked against these very classes on the
workstation (`erpose_edge.deploy.registry`) and travel to boards as one JSON document.

Every field that says something names its source in ``sources``, or stands in ``unverified``: then
it is what is commonly said, and nobody has looked it up or measured it. None, or an empty text or
tuple: not known. Parts of a field are named with a dot (``super.int8_tops``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

Generation = Literal["nano", "tx2", "xavier", "orin", "thor"]
Flash = Literal["original", "super"]
Unit = Literal["cpu", "gpu", "npu", "tpu"]

# Read by pydantic on the workstation, which is not on boards: keys that are no field are mistakes.
_STRICT = {"extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True)
class Source:
    """Where facts come from.

    Attributes:
        name: What entries call it.
        says: What it is, in words.
        url: Its address; empty for a file that is only named.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    name: str
    says: str
    url: str = ""


@dataclass(frozen=True)
class PowerMode:
    """A mode of ``nvpmodel``.

    Attributes:
        name: As in ``/etc/nvpmodel.conf``; the one thing to look a mode up by.
        id: Its number, which differs between modules and flash configurations; None: not known.
        watts: Of the budget; None for modes without a limit.
        gpu_int8_tops: Of the GPU, counted with 2:4 sparsity.
        dla_int8_tops: Of both DLA cores.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    name: str
    id: int | None = None
    watts: float | None = None
    gpu_int8_tops: float | None = None
    dla_int8_tops: float | None = None


@dataclass(frozen=True)
class FlashProfile:
    """A configuration that a module is flashed with.

    Attributes:
        power_modes: Which it has.
        compatible: Names in the device tree that say this configuration.
        int8_tops: As the maker says it: with 2:4 sparsity where the GPU has that, DLA included.
        bandwidth_gbs: Of the memory, GB/s.
        since_jetpack: Oldest JetPack that has it; empty: every one.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    power_modes: tuple[PowerMode, ...] = ()
    compatible: tuple[str, ...] = ()
    int8_tops: float | None = None
    bandwidth_gbs: float | None = None
    since_jetpack: str = ""


@dataclass(frozen=True)
class Module:
    """A Jetson module.

    Attributes:
        name: Of the entry.
        description: One line for people.
        family: Modules that share a carrier and power modes, such as ``orin-nano``.
        generation: Which JetPack releases it gets.
        part_numbers: Such as ``p3767-0003``.
        soc: As the device tree calls it, such as ``tegra234``.
        compute_capability: Of the GPU.
        cuda_cores: Of the GPU.
        tensor_cores: Of the GPU.
        gpu_max_mhz: Highest clock of the GPU.
        dla_cores: Deep learning accelerators.
        dla_max_mhz: Highest clock of one.
        dla_precisions: What they compute in.
        memory_gb: Shared by CPU and GPU.
        precisions: What TensorRT computes in on its GPU, beside fp32; of those that we use.
        sparsity: The GPU has 2:4 sparsity, and the maker's TOPS count it.
        fp16_gflops: Where the maker says no INT8 figure.
        fp4_tflops: With sparsity, where the maker says that.
        original: As flashed with any JetPack.
        super: As flashed for more power; None: there is no such configuration.
        unverified: Fields whose value has no source.
        sources: Fields by the source that says them.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    name: str
    description: str
    family: str
    generation: Generation
    part_numbers: tuple[str, ...]
    soc: str
    compute_capability: str
    dla_cores: int
    memory_gb: float
    cuda_cores: int | None = None
    tensor_cores: int | None = None
    gpu_max_mhz: float | None = None
    dla_max_mhz: float | None = None
    dla_precisions: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    sparsity: bool | None = None
    fp16_gflops: float | None = None
    fp4_tflops: float | None = None
    original: FlashProfile = field(default_factory=FlashProfile)
    super: FlashProfile | None = None
    unverified: tuple[str, ...] = ()
    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def flash(self, name: Flash) -> FlashProfile | None:
        """Return the configuration of that name, if the module has it."""
        return self.original if name == "original" else self.super


@dataclass(frozen=True)
class JetPack:
    """A release of JetPack, or several that differ in nothing said here.

    Attributes:
        name: As people write it, such as ``6.2.1`` or ``5.1.1 to 5.1.2``.
        version: For comparisons; the oldest of them.
        last: The newest of them; empty: there is one.
        l4t: Range of the L4T versions; empty: not known.
        ubuntu: Version of the root file system.
        python: Its ``python3``.
        cuda: Version.
        cudnn: Version.
        tensorrt: Version; the part that is known.
        generations: Of modules that it runs on.
        families: Of modules, where only these were named; empty: every one of the generations.
        unverified: Fields whose value has no source.
        sources: Fields by the source that says them.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    name: str
    version: str
    generations: tuple[Generation, ...]
    last: str = ""
    families: tuple[str, ...] = ()
    l4t: str = ""
    ubuntu: str = ""
    python: str = ""
    cuda: str = ""
    cudnn: str = ""
    tensorrt: str = ""
    unverified: tuple[str, ...] = ()
    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class CpuClass:
    """Processors that compute int8 alike, known by their flags and never by their name.

    Attributes:
        name: Of the entry.
        description: One line for people.
        architecture: As ``uname -m`` says it.
        has: Flags of /proc/cpuinfo, of which it has at least one; empty: none is asked for.
        lacks: Flags of which it has none.
        int8: What int8 is worth on it, for people.
        examples: Processors that were said to be of it.
        unverified: Fields whose value has no source.
        sources: Fields by the source that says them.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    name: str
    description: str
    architecture: tuple[str, ...]
    int8: str
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Board:
    """A single-board computer that is no Jetson.

    Attributes:
        name: Of the entry.
        description: One line for people.
        compatible: Names in its device tree.
        soc: Its chip.
        cpu: Name of its `CpuClass`.
        cores: Of the CPU.
        cpu_max_mhz: Highest clock of the CPU.
        memory: Kind of memory.
        unverified: Fields whose value has no source.
        sources: Fields by the source that says them.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    name: str
    description: str
    compatible: tuple[str, ...]
    soc: str
    cpu: str
    cores: int | None = None
    cpu_max_mhz: float | None = None
    memory: str = ""
    unverified: tuple[str, ...] = ()
    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Mobile:
    """A part of phones, or an accelerator, that computes networks.

    Attributes:
        name: Of the entry.
        description: One line for people.
        unit: What computes.
        through: Software that reaches it, the best first.
        precisions: What it wants.
        architectures: What it was called, by generation.
        target: Name of the profile that serves it; empty: none does.
        unverified: Fields whose value has no source.
        sources: Fields by the source that says them.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    name: str
    description: str
    unit: Unit
    through: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    architectures: dict[str, str] = field(default_factory=dict)
    target: str = ""
    unverified: tuple[str, ...] = ()
    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)
