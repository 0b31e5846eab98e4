"""A bundle of a few small files, made by hand, and tars that are wrong in one way each."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tiny_pose import tiny_manifest

from erpose_edge.runtime.artifact import write_artifact
from erpose_edge.runtime.bundle import BUNDLE_NAME, Bundle, BundleList, read_bundle, with_files
from erpose_edge.runtime.safe_tar import BLOCK, END, header, mode_of

FILES = MappingProxyType(
    {
        "build": b"#!/bin/sh\n",
        "LICENSE": b"",
        "erpose_runtime/__main__.py": b"print(1)\n",
        "onnx/model.onnx": bytes(range(256)) * 3,
    }
)


def write_small_bundle(folder: Path, files: Mapping[str, bytes] = FILES) -> Bundle:
    """Write a bundle with one artifact and these files."""
    manifest = tiny_manifest("compact", "openvino")
    write_artifact(
        folder / "artifacts" / "int8", manifest, {"model.xml": b"<net/>", "model.bin": b"0123"}
    )
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    listed = BundleList(
        target="openvino-cpu",
        artifacts=("artifacts/int8",),
        profile={"engine": "openvino", "budget": {"min_retention": 0.99}},
        files={},
        licences=("Apache-2.0",),
        tool_versions={"erpose-edge": "1"},
    )
    (folder / BUNDLE_NAME).write_bytes(with_files(listed, folder).to_bytes())
    return read_bundle(folder)


def corrupted(content: bytes, dice: random.Random) -> bytes:
    """Return ``content`` with one byte changed, added or taken out."""
    at = dice.randrange(len(content) + 1)
    kind = dice.choice(("change", "add", "take")) if at < len(content) else "add"
    byte = bytes([dice.randrange(256)])
    if kind == "change":
        byte = bytes([content[at] ^ dice.randrange(1, 256)])
    return content[:at] + (b"" if kind == "take" else byte) + content[at + (kind != "add") :]


def tar(*entries: tuple[str, bytes]) -> bytes:
    """Return the tar of some files, written as this project writes it."""
    return b"".join(header(p, len(c)) + padded(c) for p, c in entries) + END


def padded(content: bytes) -> bytes:
    """Return ``content`` and zeros up to the next block."""
    return content + bytes(-len(content) % BLOCK)


def entry(path: str | bytes, content: bytes = b"x", **changes: bytes) -> bytes:
    """Return an entry whose header says anything, with a right checksum; see `header`.

    Args:
        path: At most 100 bytes, or with the field ``prefix``.
        content: Of the file.
        changes: Content of header fields, instead of what belongs there.
    """
    name = path.encode() if isinstance(path, str) else path
    block = bytearray(header("x", len(content)))
    block[100:108] = b"%07o\x00" % (mode_of(name.decode("latin-1")))
    fields = {"name": name, **changes}
    for field, value in fields.items():
        start, end = _FIELDS[field]
        block[start:end] = value.ljust(end - start, b"\x00")
    if "checksum" not in changes:
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\x00 " % sum(block)
    return bytes(block) + padded(content)


_FIELDS = {
    "name": (0, 100),
    "mode": (100, 108),
    "owner": (108, 116),
    "size": (124, 136),
    "date": (136, 148),
    "checksum": (148, 156),
    "kind": (156, 157),
    "link": (157, 257),
    "magic": (257, 265),
    "user": (265, 297),
    "device": (329, 337),
    "prefix": (345, 500),
}
