"""Weights files: safetensors whose header says what network they belong to.

The header holds the format, the kind (``float`` or ``qat``), the resolved config of the run and
the skeleton, so that nobody has to remember what a file was.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import IntegrityError, RequestError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from erpose_edge.config import NetworkConfig
    from erpose_edge.network.pose_network import ERPose

# What two networks have to have in common for weights of one to fit the other.
_IDENTITY = ("scale", "backbone", "activation", "pose_tower", "pose_width", "boxes", "one_to_one")
FORMAT = "erpose-weights-1"


@dataclass(frozen=True)
class Weights:
    """One weights file in memory.

    Attributes:
        state: Tensors by name, float32 (or integer).
        kind: ``float`` or ``qat``.
        config: Resolved config of the run that made it.
        details: Whatever else was written: policy, recipe, measured accuracy.
        sha256: Hash of the file.
        path: Where it was read from.
    """

    state: dict[str, Tensor]
    kind: str
    config: dict[str, Any]
    details: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""
    path: Path | None = None

    @property
    def network(self) -> NetworkConfig:
        """Which network it is.

        Raises:
            ConfigError: This version knows no such network.
        """
        from erpose_edge.config import NetworkConfig
        from erpose_edge.config_file import model_from_mapping

        name = f"weights {self.path or ''}: config.network".replace(" :", ":")
        return model_from_mapping(self.config["network"], NetworkConfig, name)

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) that the network is meant for, in pixels."""
        height, width = self.config["network"]["input_size"]
        return int(height), int(width)

    @property
    def score_threshold(self) -> float:
        """Score below which poses of this network are not shown."""
        return float(self.config["export"]["score_threshold"])

    @property
    def nms(self) -> float | None:
        """Overlap above which poses are suppressed; None where a person is answered once."""
        return None if self.network.one_to_one else float(self.config["export"]["nms"])

    @property
    def skeleton(self) -> str:
        """Name of the skeleton."""
        return str(self.config["skeleton"])


def save_weights(path: Path, weights: Weights, *, half: bool = False) -> None:
    """Write ``weights`` to ``path``; a file already there stays whole until the new one is.

    Args:
        path: Ends in ``.safetensors``; its folder is made if missing.
        weights: ``sha256`` and ``path`` are not written.
        half: Store float tensors of more than one dimension as float16.
    """
    import torch
    from safetensors.torch import save

    state = {
        name: (t.half() if half and t.is_floating_point() and t.ndim > 1 else t).contiguous()
        for name, t in ((n, t.detach().cpu()) for n, t in weights.state.items())
    }
    # Tensors that share memory are refused by safetensors; a clone is cheap.
    state = {name: t.clone(memory_format=torch.contiguous_format) for name, t in state.items()}
    header = {
        "format": FORMAT,
        "kind": weights.kind,
        "config": json.dumps(weights.config, sort_keys=True),
        "details": json.dumps(weights.details, sort_keys=True),
    }
    header["sha256"] = _digest(state, header)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(_ordered(save(state, metadata=header)))
    temporary.replace(path)


def read_header(path: Path) -> dict[str, Any]:
    """Return format, kind, config and details of a weights file, without torch.

    Raises:
        RequestError: There is no file.
        IntegrityError: The file is empty, cut short or not a weights file of this project.
    """
    if not path.is_file():
        raise RequestError(f"weights {path}: expected a file, got none; check --weights")
    size = path.stat().st_size
    try:
        metadata = _metadata(path, size)
        header: dict[str, Any] = {
            "format": metadata["format"],
            "kind": metadata["kind"],
            "config": json.loads(metadata["config"]),
            "details": json.loads(metadata["details"]),
        }
        if not metadata.keys() <= {*header, "sha256"}:
            raise ValueError(f"unknown keys {sorted(metadata.keys() - header.keys())}")
        _check_network(header["config"])
    except (struct.error, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _damaged(path, size, error) from error
    if header["format"] != FORMAT:
        raise IntegrityError(
            f"weights {path}: format: expected {FORMAT}, got {header['format']}; "
            "use the release that wrote it"
        )
    return header


def _ordered(content: bytes) -> bytes:
    """Return a safetensors file with its header in order: the same weights give the same bytes."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":"))
    text = header.encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def _metadata(path: Path, size: int) -> dict[str, str]:
    """Return the free part of a safetensors header, once the tensors are known to be whole."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > size - 8:
            raise ValueError("header longer than the file")
        tensors = json.loads(file.read(length))
    metadata: dict[str, str] = tensors.pop("__metadata__")
    if 8 + length + max(tensor["data_offsets"][1] for tensor in tensors.values()) != size:
        raise ValueError("tensors cut short")
    return metadata


def _check_network(config: dict[str, Any]) -> None:
    """Raise LookupError, TypeError or ValueError unless ``config`` names a network."""
    if not {"scale", "activation", "input_size"} <= config["network"].keys():
        raise ValueError("config without a network")
    str(config["skeleton"])


def _damaged(path: Path, size: int, reason: object) -> IntegrityError:
    return IntegrityError(
        f"weights {path}: expected a safetensors file written by erpose-edge, got {size} bytes "
        f"that are not ({reason}); fetch or train it again"
    )


def _digest(state: dict[str, Tensor], header: dict[str, str]) -> str:
    """Return the hash of everything that a file holds, ``header`` as text."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(state):
        tensor = state[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def load_weights(path: Path) -> Weights:
    """Read a weights file.

    Raises:
        RequestError: There is no file.
        IntegrityError: The file is damaged or not a weights file of this project.
    """
    header = read_header(path)
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load

    data = path.read_bytes()
    try:
        stored = load(data)
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata())
    except (SafetensorError, KeyError, ValueError) as error:
        raise _damaged(path, len(data), error) from error
    # The first files carry no hash.
    if "sha256" in metadata and metadata.pop("sha256") != _digest(stored, metadata):
        raise _damaged(path, len(data), "sha256: the content is not what was written")
    return Weights(
        state={n: t.float() if t.is_floating_point() else t for n, t in stored.items()},
        kind=header["kind"],
        config=header["config"],
        details=header["details"],
        sha256=hashlib.sha256(data).hexdigest(),
        path=path,
    )


def network_of(weights: Weights) -> ERPose:
    """Build the float network that ``weights`` belong to, in eval mode.

    Raises:
        WeightsError: A tensor is missing, unknown or of another shape.
    """
    from erpose_edge.network.pose_network import ERPose
    from erpose_edge.skeleton import skeleton_named

    keypoints = len(skeleton_named(weights.skeleton))
    network = ERPose(weights.network, keypoints)
    fill_network(network, weights)
    return network.eval()


def fill_network(network: ERPose, weights: Weights) -> None:
    """Copy float ``weights`` into ``network``.

    Raises:
        WeightsError: The weights are of another network or skeleton, or are quantized.
    """
    where = f"weights {weights.path or ''}".strip()
    if weights.kind != "float":
        raise WeightsError(f"{where}: kind: expected float, got {weights.kind}; pass float weights")
    ours, theirs = network.config, weights.network
    for key in _IDENTITY:
        expected, got = getattr(ours, key), getattr(theirs, key)
        if expected != got:
            raise WeightsError(
                f"{where}: network.{key}: expected {expected}, got {got}; "
                f"set network.{key}={got}, or pass weights of a network with {expected}"
            )
    own = network.state_dict()
    for name in sorted(own.keys() | weights.state.keys()):
        shape = tuple(own[name].shape) if name in own else "no such tensor"
        found = tuple(weights.state[name].shape) if name in weights.state else "none"
        if shape != found:
            raise WeightsError(
                f"{where}: {name}: expected {shape}, got {found}; "
                "the weights belong to another network or skeleton"
            )
    network.load_state_dict(weights.state)
