"""A capture as one file, to be made on a device and compared at home.

The file is a zip of numpy arrays (``.npz``) without anything pickled. The array ``header`` is JSON:
versions, hashes, names, and type, shape and sha256 of every other array. A dump comes from
somewhere else, so reading trusts nothing: sizes are checked before memory is taken for them.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.errors import ConfigError, IntegrityError, RequestError
from erpose_edge.runtime.decode import CONTRACTS, output_names
from erpose_edge.runtime.manifest import PRECISIONS
from erpose_edge.runtime.manifest_fields import Fields
from erpose_edge.runtime.poses import Poses
from erpose_edge.runtime.preprocess import Letterbox
from erpose_edge.skeleton import skeleton_named
from erpose_edge.validate.parity.capture import SAMPLED, Capture, Frame, Picture, Side
from erpose_edge.validate.parity.layers import Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "erpose-parity-1"
SUFFIX = ".npz"
_HEADER = "header"
_MOST_BYTES = 4 * 1024**3  # of all arrays together
_MOST_ARRAYS = 200_000
_MOST_PICTURES = 1000
_TYPES = {"uint8": np.uint8, "float32": np.float32}
# Groups of arrays of one picture, and the attribute of `Frame` that holds each.
_GROUPS = {"output": "outputs", "layer": "layers", "head": "heads", "beside": "beside"}
_POSES = ("decoded", "poses")
_UNREADABLE = (
    ValueError, KeyError, EOFError, OSError, RuntimeError, NotImplementedError,
    zipfile.BadZipFile, zlib.error, MemoryError, OverflowError,
)  # fmt: skip


def write_dump(path: str | Path, capture: Capture) -> None:
    """Write a capture; a file already there stays whole until the new one is.

    Raises:
        RequestError: The file cannot be written.
    """
    path = Path(path)
    arrays: dict[str, NDArray[Any]] = {}
    for index, frame in enumerate(capture.frames):
        arrays.update((f"{index}/{key}", array) for key, array in _arrays_of(frame).items())
    header = {
        "format": FORMAT,
        "side": asdict(capture.side),
        "pictures": [_picture_entry(frame) for frame in capture.frames],
        "arrays": {name: _entry(array) for name, array in arrays.items()},
    }
    text = json.dumps(header, sort_keys=True, allow_nan=False).encode()
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            everything: dict[str, Any] = {_HEADER: np.frombuffer(text, np.uint8), **arrays}
            np.savez_compressed(stream, **everything)
        os.replace(part, path)  # noqa: PTH105 - one call for both systems
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RequestError(
            f"{path}: expected to write a dump, got {error.strerror}; choose another place"
        ) from None


def is_dump(path: str | Path) -> bool:
    """Say whether a path is that of a dump: by its name, as it may be damaged."""
    return Path(path).suffix == SUFFIX and Path(path).is_file()


def read_dump(path: str | Path) -> Capture:
    """Read what `write_dump` wrote.

    Raises:
        RequestError: There is no such file.
        IntegrityError: It is damaged, or no dump that this version knows.
    """
    path = Path(path)
    if not path.is_file():
        raise RequestError(f"{path}: expected a dump, got no such file; check the path")
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            header = _load(archive, members, _HEADER)
            fields = Fields.parse(header.tobytes(), f"{path}: {_HEADER}")
            names = _names(fields, members)
            arrays = {}
            for name, expected in names.items():
                arrays[name] = _load(archive, members, name)
                found = _entry(arrays[name])
                if found != expected:
                    raise ValueError(f"{name}: {found} instead of {expected}")
        return _capture(fields, arrays)
    except _UNREADABLE as error:
        detail = " ".join(str(error).split())[:200]
        raise IntegrityError(
            f"{path}: expected a dump as `parity --dump` writes it, got another file "
            f"({type(error).__name__}: {detail}); write or copy it again"
        ) from None


def _arrays_of(frame: Frame) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {"picture": frame.picture.image, "input": frame.images}
    for group, attribute in _GROUPS.items():
        for name, array in getattr(frame, attribute).items():
            found[f"{group}/{name}"] = np.asarray(array, np.float32)
    for kind in _POSES:
        poses: Poses = getattr(frame, kind)
        found[f"{kind}/scores"] = poses.scores
        found[f"{kind}/keypoints"] = poses.keypoints
        found[f"{kind}/visibility"] = poses.visibility
    return found


def _picture_entry(frame: Frame) -> dict[str, Any]:
    box = frame.letterbox
    return {
        "name": frame.picture.name,
        "file_sha256": frame.picture.file_sha256 or None,
        "scale": [box.scale_x, box.scale_y],
        "pad": [box.pad_x, box.pad_y],
    }


def _entry(array: NDArray[Any]) -> dict[str, Any]:
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "sha256": hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest(),
    }


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    entries = archive.infolist()
    members = {entry.filename: entry for entry in entries}
    size = sum(entry.file_size for entry in entries)
    if len(members) != len(entries) or len(entries) > _MOST_ARRAYS or size > _MOST_BYTES:
        raise ValueError(f"{len(entries)} arrays of {size} bytes")
    return members


def _load(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str) -> NDArray[Any]:
    content = archive.read(members[f"{name}.npy"])
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError(f"{name}: version of the array format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    size = math.prod(shape) * dtype.itemsize
    if str(dtype) not in _TYPES or fortran or any(side < 0 for side in shape):
        raise ValueError(f"{name}: array of {dtype}")
    if size != len(content) - stream.tell():
        raise ValueError(f"{name}: {len(content)} bytes for the shape {shape}")
    flat: NDArray[Any] = np.frombuffer(content, dtype, offset=stream.tell())
    return np.array(flat.reshape(shape))


def _names(fields: Fields, members: dict[str, zipfile.ZipInfo]) -> dict[str, dict[str, Any]]:
    """Return type, shape and hash by name of every array that the header lists."""
    fields.choice("format", (FORMAT,))
    listed = fields.mapping("arrays")
    present = {name[: -len(".npy")] for name in members} - {_HEADER}
    if present != set(listed):
        odd = sorted(present ^ set(listed))[0]
        raise ValueError(f"{odd}: stands in the header or in the file, not in both")
    return listed


def _capture(fields: Fields, arrays: dict[str, NDArray[Any]]) -> Capture:
    side = _side(fields.inner("side"))
    entries = fields.inner_list("pictures")
    fields.end()
    if not 0 < len(entries) <= _MOST_PICTURES:
        raise fields.error("pictures", f"1 to {_MOST_PICTURES} pictures", len(entries))
    frames = []
    for index, entry in enumerate(entries):
        prefix = f"{index}/"
        own = {k[len(prefix) :]: arrays.pop(k) for k in list(arrays) if k.startswith(prefix)}
        frames.append(_frame(entry, own, side))
    if arrays:
        raise ValueError(f"{sorted(arrays)[0]}: belongs to no picture")
    return Capture(side, tuple(frames))


def _side(fields: Fields) -> Side:
    layers = []
    for entry in fields.inner_list("layers"):
        inputs = entry.texts("inputs")
        layers.append(Layer(entry.text("name"), inputs))
        entry.end()
    size = fields.integers("input_size", 1, 8192)
    side = Side(
        source=fields.text("source"),
        kind=fields.choice("kind", ("artifact", "weights")),
        engine=fields.text("engine"),
        precision=fields.choice("precision", PRECISIONS),
        contract=fields.choice("contract", CONTRACTS),
        input_size=(size[0], size[-1]),
        strides=fields.integers("strides", 1, 1024),
        skeleton=fields.text("skeleton"),
        max_poses=fields.integer("max_poses", 1, 100_000),
        score_threshold=fields.fraction("score_threshold"),
        nms=fields.optional("nms", fields.fraction),
        weights_sha256=fields.text("weights_sha256"),
        artifact_sha256=fields.text("artifact_sha256"),
        versions=fields.texts_by_name("versions"),
        layers=tuple(layers),
        missing=fields.text("missing"),
    )
    fields.end()
    if len(size) != 2:
        raise fields.error("input_size", "[height, width]", list(size))
    try:
        skeleton_named(side.skeleton)
    except ConfigError:
        raise fields.error("skeleton", "a known skeleton", side.skeleton) from None
    return side


def _frame(fields: Fields, arrays: dict[str, NDArray[Any]], side: Side) -> Frame:
    name = fields.text("name")
    file_sha256 = fields.optional("file_sha256", fields.sha256) or ""
    scale, pad = fields.pair("scale"), fields.integers("pad", -8192, 8192)
    fields.end()
    if min(scale) <= 0 or len(pad) != 2:
        raise fields.error("scale", "two numbers above 0, and two whole numbers of pad", scale)
    image = _taken(arrays, "picture", (None, None, 3), np.uint8)
    images = _taken(arrays, "input", (1, 3, *side.input_size))
    keypoints = len(skeleton_named(side.skeleton))
    poses = {kind: _poses(arrays, kind, keypoints) for kind in _POSES}
    groups: dict[str, dict[str, NDArray[Any]]] = {group: {} for group in _GROUPS}
    for key in list(arrays):
        group, _, entry = key.partition("/")
        if group not in groups:
            raise ValueError(f"{key}: no such array in a dump")
        groups[group][entry] = _taken(arrays, key, None)
    for layer in side.layers:
        found = groups["layer"].get(layer.name)
        if found is None or found.ndim != 1 or found.size > SAMPLED:
            raise ValueError(f"layer {layer.name}: no sample of its values")
    _check_outputs(groups, side, keypoints)
    box = Letterbox(*scale, int(pad[0]), int(pad[1]), image.shape[:2], side.input_size)
    attributes: dict[str, Any] = {name: groups[group] for group, name in _GROUPS.items()}
    attributes.update(poses)
    return Frame(Picture(name, image, file_sha256), box, images, **attributes)


def _check_outputs(groups: dict[str, dict[str, NDArray[Any]]], side: Side, keypoints: int) -> None:
    """Raise ValueError for outputs that decoding could not take."""
    raw: dict[str, tuple[int | None, ...]] = {}
    for stride in side.strides:
        size = (side.input_size[0] // stride, side.input_size[1] // stride)
        for kind, channels in (("scores", 1), ("keypoints", 2 * keypoints)):
            raw[f"{kind}_{stride}"] = (1, channels, *size)
        raw[f"visibility_{stride}"] = (1, keypoints, *size)
        raw[f"boxes_{stride}"] = (1, None, *size)
    count = next((a.shape[1] for a in groups["output"].values() if a.ndim > 1), 0)
    joined: dict[str, tuple[int | None, ...]] = {
        "scores": (1, count),
        "keypoints": (1, count, keypoints, 2),
        "visibility": (1, count, keypoints),
        "boxes": (1, count, 4),
    }
    given = raw if side.contract == "raw" else joined
    needed = output_names(side.contract, side.strides)
    if not set(needed) <= set(groups["output"]):
        raise ValueError(f"outputs: {sorted(groups['output'])} instead of {sorted(needed)}")
    if groups["beside"] and set(groups["beside"]) != set(groups["output"]):
        raise ValueError(f"beside: {sorted(groups['beside'])}")
    for group, shapes in (("output", given), ("beside", given), ("head", raw)):
        for name, array in groups[group].items():
            wanted = shapes.get(name)
            if wanted is None or not _fits(array, wanted):
                raise ValueError(f"{group}/{name}: {array.shape} instead of {wanted}")
    for name, array in groups["head"].items():
        if name.startswith("boxes") and array.shape[1] % 4:
            raise ValueError(f"head/{name}: {array.shape[1]} channels are no four sides")


def _fits(array: NDArray[Any], shape: tuple[int | None, ...]) -> bool:
    """Say whether an array has a shape; None in it is any length."""
    return array.ndim == len(shape) and all(
        side in (None, found) for side, found in zip(shape, array.shape)
    )


def _poses(arrays: dict[str, NDArray[Any]], kind: str, keypoints: int) -> Poses:
    scores = _taken(arrays, f"{kind}/scores", (None,))
    count = len(scores)
    return Poses(
        scores,
        _taken(arrays, f"{kind}/keypoints", (count, keypoints, 2)),
        _taken(arrays, f"{kind}/visibility", (count, keypoints)),
    )


def _taken(
    arrays: dict[str, NDArray[Any]],
    key: str,
    shape: tuple[int | None, ...] | None,
    dtype: type = np.float32,
) -> NDArray[Any]:
    """Take an array of a type and a shape; None as shape is any."""
    array = arrays.pop(key)
    if array.dtype != dtype or not (shape is None or _fits(array, shape)):
        raise ValueError(f"{key}: {array.dtype} {array.shape} instead of {dtype.__name__} {shape}")
    return array
