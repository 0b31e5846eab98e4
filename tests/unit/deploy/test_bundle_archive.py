"""A packed bundle: one form, every byte of it vouched for, and no more of it than was said."""

from __future__ import annotations

import hashlib
import os
import random
import sys
from functools import cache
from pathlib import Path

import pytest
from hostile_tars import LIMITS, NAMES, hostile_tars
from small_bundle import corrupted, tar, write_small_bundle

from erpose_edge.deploy.bundle.archive import opened, pack, unpack
from erpose_edge.errors import IntegrityError, MissingExtraError, RequestError
from erpose_edge.runtime.bundle import BUNDLE_NAME, read_bundle
from erpose_edge.runtime.bundle_signature import SIGNATURE_NAME, Signature
from erpose_edge.runtime.safe_tar import Limits, header

zstandard = pytest.importorskip("zstandard")

SUFFIXES = (".tar", ".tar.zst")
CORRUPTIONS = 500  # of each kind of archive
SIGNATURE = Signature(bytes(range(32)), bytes(range(64)))


@pytest.fixture
def bundle(tmp_path):
    return write_small_bundle(tmp_path / "b")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mode & 0o7777)
        for path in folder.rglob("*")
        if path.is_file()
    }


def ended(stream: bytes) -> bytes:
    """Return a stream with the hash that ours end in."""
    frame = bytes.fromhex("502a4d18") + (32).to_bytes(4, "little")
    return stream + frame + hashlib.sha256(stream).digest()


def squeezed(content: bytes, **options) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, **options)
    return zstandard.ZstdCompressor(compression_params=parameters).compress(content)


def refused(path: Path, limits: Limits = LIMITS) -> str:
    before = names(path.parent)
    with pytest.raises(IntegrityError) as caught:
        unpack(path, path.parent / "out", limits=limits)
    assert names(path.parent) == before
    text = str(caught.value)
    assert text.startswith(str(path)) and text.isprintable()
    return text


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("signed", [False, True])
def test_what_is_packed_is_unpacked(bundle, tmp_path, suffix, signed):
    if signed:
        content = SIGNATURE.to_bytes(bundle.document.to_bytes())
        (bundle.folder / SIGNATURE_NAME).write_bytes(content)
    pack(bundle.folder, tmp_path / "new" / f"x{suffix}")
    assert names(tmp_path / "new") == [f"x{suffix}"]
    found = unpack(tmp_path / "new" / f"x{suffix}", tmp_path / "deep" / "out")
    assert (found.name, found.folder) == (bundle.name, tmp_path / "deep" / "out")
    assert found.signature == (SIGNATURE if signed else None)
    ours = {path: content for path, (content, _) in contents(bundle.folder).items()}
    theirs = contents(found.folder)
    assert {path: content for path, (content, _) in theirs.items()} == ours
    assert {p for p, (_, mode) in theirs.items() if mode != 0o644} == {"build"}
    assert names(tmp_path / "deep") == ["out"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_bundle_gives_the_same_bytes_wherever_and_whenever(bundle, tmp_path, suffix):
    other = write_small_bundle(tmp_path / "elsewhere" / "c")
    for place in (*other.folder.rglob("*"), other.folder):
        place.chmod(0o700)
        os.utime(place, (1e9, 1e9))
    (other.folder / "device").mkdir()
    (other.folder / "device" / "engine").write_bytes(b"made there")
    pack(bundle.folder, tmp_path / f"x{suffix}")
    old = os.umask(0o077)
    try:
        pack(other.folder, tmp_path / f"y{suffix}")
    finally:
        os.umask(old)
    x, y = tmp_path / f"x{suffix}", tmp_path / f"y{suffix}"
    assert x.read_bytes() == y.read_bytes()
    assert x.stat().st_mode == y.stat().st_mode


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_corruptions_of_one_byte_of_an_archive_are_all_detected(bundle, tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    pack(bundle.folder, path)
    content = path.read_bytes()
    dice = random.Random(2)
    for _ in range(CORRUPTIONS):
        path.write_bytes(corrupted(content, dice))
        with pytest.raises(IntegrityError):
            unpack(path, tmp_path / "out")
    assert names(tmp_path) == ["b", path.name]


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_archive_is_refused_squeezed_as_well(name, tmp_path):
    outside, place = tmp_path / "outside", tmp_path / "in"
    outside.mkdir()
    place.mkdir()
    content, message = hostile_tars(outside)[name]
    (place / "x.tar.zst").write_bytes(ended(squeezed(content)))
    assert message in refused(place / "x.tar.zst")
    assert names(outside) == []
    assert names(tmp_path) == ["in", "outside"]


def zeros(gibibytes: int, window_log: int = 17) -> bytes:
    """Return a stream that says a great deal with blocks of one repeated byte."""
    blocks = gibibytes * 2**30 // 2**17
    head = bytes.fromhex("28b52ffd") + b"\x00" + bytes([(window_log - 10) << 3])
    block = ((2**17 << 3) | (1 << 1)).to_bytes(3, "little") + b"\x00"
    return (
        head
        + block * (blocks - 1)
        + (int.from_bytes(block[:3], "little") | 1).to_bytes(3, "little")
        + b"\x00"
    )


@cache
def bombs() -> dict[str, tuple[bytes, str]]:
    good = tar(("a", b"1"))
    trained = zstandard.ZstdCompressionDict(good * 4, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    foreign = zstandard.ZstdCompressor(dict_data=trained).compress(good)
    return {
        "zeros without end": (ended(zeros(64)), "nothing after the end, got more bytes"),
        "a file without end": (
            ended(squeezed(header("a", 8**11 - 1)) + zeros(8)),
            "expected at most 5000 bytes, got 8589934591",
        ),
        "files without end": (
            ended(squeezed(b"".join(header(f"f{i}", 0) for i in range(50_000)))),
            "expected at most 20 files, got 21",
        ),
        "a window too wide": (ended(zeros(1, 24)), "Frame requires too much memory"),
        "a second stream": (ended(squeezed(good) + squeezed(good)), "nothing after the end"),
        "something behind it": (ended(squeezed(good) + b"more"), "Unknown frame descriptor"),
        "half a stream": (ended(squeezed(good)[:-9]), "expected a zstandard stream as erpose-edge"),
        "a dictionary": (ended(foreign), "expected a zstandard stream as erpose-edge writes it"),
        "no stream": (ended(good), "expected a zstandard stream as erpose-edge writes it"),
        "nothing": (b"", "expected a .tar.zst that ends in its own sha256"),
        "no hash": (squeezed(good), "expected a .tar.zst that ends in its own sha256"),
        "another hash": (squeezed(good) + ended(b""), "a .tar.zst that ends in its own sha256"),
    }


@pytest.mark.parametrize("name", bombs())
def test_a_stream_that_is_not_what_it_seems_is_refused(name, tmp_path):
    content, message = bombs()[name]
    assert len(content) < 2**22
    (tmp_path / "x.tar.zst").write_bytes(content)
    assert message in refused(tmp_path / "x.tar.zst")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_whole_archive_of_a_damaged_bundle_leaves_nothing(bundle, tmp_path, suffix):
    pack(bundle.folder, tmp_path / "x.tar")
    content = (tmp_path / "x.tar").read_bytes().replace(b"print(1)", b"print(2)")
    content = content if suffix == ".tar" else ended(squeezed(content))
    (tmp_path / f"y{suffix}").write_bytes(content)
    before = names(tmp_path)
    with pytest.raises(IntegrityError, match=r"__main__\.py: expected sha256"):
        unpack(tmp_path / f"y{suffix}", tmp_path / "out")
    assert names(tmp_path) == before


def test_a_bundle_that_the_check_refuses_leaves_nothing(bundle, tmp_path):
    pack(bundle.folder, tmp_path / "x.tar")

    def check(found):
        assert found.name == bundle.name
        raise IntegrityError("not trusted")

    with pytest.raises(IntegrityError, match="not trusted"):
        unpack(tmp_path / "x.tar", tmp_path / "out", check)
    assert names(tmp_path) == ["b", "x.tar"]


def test_a_damaged_bundle_is_not_packed_and_an_earlier_file_stays(bundle, tmp_path):
    (tmp_path / "x.tar").write_bytes(b"earlier")
    (bundle.folder / "build").write_bytes(b"")
    with pytest.raises(IntegrityError, match="build: expected 10 bytes, got 0"):
        pack(bundle.folder, tmp_path / "x.tar")
    assert (tmp_path / "x.tar").read_bytes() == b"earlier"
    assert names(tmp_path) == ["b", "x.tar"]


def test_requests_that_cannot_be(bundle, tmp_path):
    with pytest.raises(RequestError, match=r"x\.zip: expected a name that ends in \.tar or \.tar"):
        pack(bundle.folder, tmp_path / "x.zip")
    with pytest.raises(RequestError, match=r"x\.tar: expected a packed bundle, got no such file"):
        unpack(tmp_path / "x.tar", tmp_path / "out")
    pack(bundle.folder, tmp_path / "x.tar")
    with pytest.raises(RequestError, match="b: expected a new folder, got one that exists"):
        unpack(tmp_path / "x.tar", bundle.folder)
    assert read_bundle(bundle.folder).name == bundle.name


def test_without_zstandard_only_a_tar_is_packed(bundle, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(
        MissingExtraError, match=r"pip install 'erpose-edge\[push\]'`, or use a .tar"
    ):
        pack(bundle.folder, tmp_path / "x.tar.zst")
    pack(bundle.folder, tmp_path / "x.tar")
    assert names(tmp_path) == ["b", "x.tar"]


@pytest.mark.parametrize("suffix", ["", *SUFFIXES])
def test_a_bundle_is_opened_packed_or_not(bundle, tmp_path, suffix):
    path = bundle.folder
    if suffix:
        path = tmp_path / f"x{suffix}"
        pack(bundle.folder, path)
    with opened(path) as found:
        assert found.name == bundle.name
        assert (found.folder / BUNDLE_NAME).is_file()
    assert found.folder.exists() == (suffix == "")
