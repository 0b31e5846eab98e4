"""A bundle as one file: ``.tar``, or ``.tar.zst`` that a hash ends.

The same bundle gives the same bytes, wherever and whenever it is packed (a ``.tar.zst``: with the
same version of zstandard). A ``.tar`` has one form and its reader takes no other. Zstandard is not
so strict, many streams mean the same; so a skippable frame, which every reader of the format
passes over, ends the file with the sha256 of all before it.

Ref: https://github.com/facebook/zstd/blob/dev/doc/zstd_compression_format.md (skippable frames)
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, cast

from erpose_edge.errors import IntegrityError, MissingExtraError, RequestError
from erpose_edge.runtime.bundle import BUNDLE_NAME, Bundle, read_bundle
from erpose_edge.runtime.bundle_signature import SIGNATURE_NAME
from erpose_edge.runtime.safe_tar import (
    BLOCK,
    END,
    LIMITS,
    Limits,
    UnsafeArchiveError,
    header,
    unpack_tar,
)

TAR, TAR_ZST = ".tar", ".tar.zst"

_LEVEL = 12  # int8 weights hardly shrink further: level 19 takes ten times as long
_WINDOW_LOG = 23  # 8 MiB: what a reader has to set aside, and all that ours does
_SKIPPABLE = bytes.fromhex("502a4d18") + (32).to_bytes(4, "little")
_TRAILER = len(_SKIPPABLE) + 32
_COPY = 1 << 16


def is_archive(path: Path) -> bool:
    """Say whether a file's name is that of a packed bundle."""
    return path.name.endswith((TAR, TAR_ZST))


def require_archive_name(path: Path) -> None:
    """Refuse a name that does not say how a bundle is packed.

    Raises:
        RequestError: It ends in neither ``.tar`` nor ``.tar.zst``.
    """
    if not is_archive(path):
        raise RequestError(
            f"{path}: expected a name that ends in {TAR} or {TAR_ZST}, got {path.name!r}; "
            "choose another name"
        )


def pack(folder: Path, path: Path) -> None:
    """Verify a bundle and write it as one file; a file that is there is replaced at the end.

    What a device has left in the folder stays out.

    Args:
        folder: Of the bundle.
        path: Ends in ``.tar`` or ``.tar.zst``; its folder is made if missing.

    Raises:
        RequestError: There is no such folder, or ``path`` ends otherwise.
        IntegrityError: The bundle is damaged.
        MissingExtraError: ``.tar.zst``, and zstandard is not installed.
    """
    require_archive_name(path)
    bundle = read_bundle(folder, in_use=True)
    zstandard = _zstandard(path) if path.name.endswith(TAR_ZST) else None
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
        part = Path(scratch) / "part"
        with part.open("w+b") as stream:
            if zstandard is None:
                stream.writelines(_tar(bundle))
            else:
                _compress(zstandard, _tar(bundle), stream)
        part.chmod(0o644)
        part.replace(path)


def unpack(
    path: Path,
    folder: Path,
    check: Callable[[Bundle], object] = lambda bundle: None,
    limits: Limits = LIMITS,
) -> Bundle:
    """Unpack and verify a packed bundle; unless all is right, nothing is left behind.

    Args:
        path: Ends in ``.tar`` or ``.tar.zst``.
        folder: Must not exist; its parent is made if missing.
        check: Raises if the bundle is not to be had, for its signature perhaps.
        limits: What the archive may ask of the disk.

    Raises:
        RequestError: There is no such file, or there is something at ``folder``.
        IntegrityError: The archive is not to be trusted, or what it holds is damaged.
        MissingExtraError: ``.tar.zst``, and zstandard is not installed.
    """
    require_archive_name(path)
    if not path.is_file():
        raise RequestError(f"{path}: expected a packed bundle, got no such file; check the path")
    folder = folder.absolute()
    if os.path.lexists(folder):
        raise RequestError(f"{folder}: expected a new folder, got one that exists; choose another")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        fresh = Path(scratch) / "bundle"
        try:
            with _tar_stream(path) as stream:
                unpack_tar(stream, fresh, limits)
        except UnsafeArchiveError as error:
            raise IntegrityError(f"{path}: {error}") from None
        bundle = read_bundle(fresh)
        check(bundle)
        fresh.rename(folder)
    return Bundle(folder, bundle.document, bundle.signature)


@contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """Verify a bundle, packed or not, and lend it: what was packed lies in a temporary folder.

    Raises:
        RequestError: There is nothing at ``path``.
        IntegrityError: The bundle or its archive is damaged, or not to be trusted.
        MissingExtraError: ``.tar.zst``, and zstandard is not installed.
    """
    if not is_archive(path) or path.is_dir():
        yield read_bundle(path)
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield unpack(path, Path(scratch) / "bundle")


def _tar(bundle: Bundle) -> Iterator[bytes]:
    """Yield the bytes of the tar; what changes meanwhile is noticed."""
    listed = bundle.document.files
    names = [BUNDLE_NAME, *([SIGNATURE_NAME] if bundle.signature else []), *listed]
    for name in names:
        content = (bundle.folder / name).read_bytes()
        if name in listed and hashlib.sha256(content).hexdigest() != listed[name].sha256:
            raise IntegrityError(
                f"{bundle.folder / name}: expected the file that was verified, got another; "
                "pack the bundle again"
            )
        yield header(name, len(content)) + content + bytes(-len(content) % BLOCK)
    yield END


def _compress(zstandard: ModuleType, blocks: Iterator[bytes], stream: BinaryIO) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL, window_log=_WINDOW_LOG, write_checksum=True
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    with compressor.stream_writer(stream, closefd=False) as writer:
        for block in blocks:
            writer.write(block)
    stream.flush()
    stream.seek(0)
    digest = _sha256(stream, None)
    stream.seek(0, os.SEEK_END)
    stream.write(_SKIPPABLE + digest)


@contextmanager
def _tar_stream(path: Path) -> Iterator[BinaryIO]:
    """Open the tar of an archive for one pass."""
    with path.open("rb") as file:
        if not path.name.endswith(TAR_ZST):
            yield file
            return
        zstandard = _zstandard(path)
        size = file.seek(0, os.SEEK_END) - _TRAILER
        file.seek(0)
        if size < 0 or _SKIPPABLE + _sha256(file, size) != file.read(_TRAILER):
            raise IntegrityError(
                f"{path}: expected a {TAR_ZST} that ends in its own sha256, got another or a "
                "damaged file; fetch or pack the bundle again"
            )
        file.seek(0)
        decompressor = zstandard.ZstdDecompressor(max_window_size=1 << _WINDOW_LOG)
        try:
            # A reader gives as many bytes as it is asked for, however far they were squeezed.
            with decompressor.stream_reader(
                file, read_size=_COPY, read_across_frames=True, closefd=False
            ) as stream:
                yield cast(BinaryIO, stream)
        except zstandard.ZstdError as error:
            raise IntegrityError(
                f"{path}: expected a zstandard stream as erpose-edge writes it, got: "
                f"{' '.join(str(error).split())}; fetch or pack the bundle again"
            ) from None


def _sha256(stream: BinaryIO, count: int | None) -> bytes:
    """Return the digest of the next ``count`` bytes, of all that follow if None."""
    digest = hashlib.sha256()
    left = count
    while left is None or left > 0:
        content = stream.read(_COPY if left is None else min(_COPY, left))
        if not content:
            break
        digest.update(content)
        left = None if left is None else left - len(content)
    return digest.digest()


def _zstandard(path: Path) -> ModuleType:
    try:
        import zstandard
    except ModuleNotFoundError:
        raise MissingExtraError(
            f"{path}: expected the package zstandard, got none; "
            "run `pip install 'erpose-edge[push]'`, or use a .tar"
        ) from None
    return zstandard
