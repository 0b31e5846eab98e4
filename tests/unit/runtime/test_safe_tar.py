"""Only a tar as this project writes it is unpacked; whatever else leaves nothing behind."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from hostile_tars import LIMITS, NAMES, hostile_tars
from hypothesis import given
from hypothesis import strategies as st
from small_bundle import tar

from erpose_edge.on_device.program import COMMANDS
from erpose_edge.runtime import safe_tar
from erpose_edge.runtime.safe_tar import (
    BLOCK,
    END,
    EXECUTABLE,
    Places,
    UnsafeArchiveError,
    header,
    path_fault,
    unpack_tar,
)

SCRIPT = Path(safe_tar.__file__)
GOOD = tar(("build", b"#!/bin/sh\n"), ("a/b/c.txt", b"x" * 1000), ("empty", b""), ("a/x.sh", b""))
PATHS = st.lists(st.text("abcXYZ019._+@-", min_size=1, max_size=12), min_size=1, max_size=5).map(
    "/".join
)


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def script(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def test_files_are_unpacked_with_the_permissions_of_their_names(tmp_path):
    old = os.umask(0o077)
    try:
        assert unpack_tar(io.BytesIO(GOOD), tmp_path / "out") == 4
    finally:
        os.umask(old)
    assert contents(tmp_path) == {
        "out": None,
        "out/a": None,
        "out/a/b": None,
        "out/a/b/c.txt": b"x" * 1000,
        "out/a/x.sh": b"",
        "out/build": b"#!/bin/sh\n",
        "out/empty": b"",
    }
    modes = {
        "": 0o755,
        "a/b": 0o755,
        "a/b/c.txt": 0o644,
        "a/x.sh": 0o755,
        "build": 0o755,
        "empty": 0o644,
    }
    for path, mode in modes.items():
        assert (tmp_path / "out" / path).stat().st_mode & 0o7777 == mode


def test_a_stream_may_give_a_few_bytes_at_a_time(tmp_path):
    class Slow(io.BytesIO):
        def read(self, count=-1):
            return super().read(min(count, 7))

    assert unpack_tar(Slow(GOOD), tmp_path / "out") == 4


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_archive_is_refused_and_nothing_is_written_anywhere(name, tmp_path):
    outside, place = tmp_path / "outside", tmp_path / "a" / "b" / "c"
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    place.mkdir(parents=True)
    before = contents(tmp_path)
    content, message = hostile_tars(outside)[name]
    with pytest.raises(UnsafeArchiveError) as caught:
        unpack_tar(io.BytesIO(content), place / "out", LIMITS)
    text = str(caught.value)
    assert message in text
    assert text.isprintable()
    assert text.endswith("; fetch or pack the bundle again")
    assert contents(tmp_path) == before
    assert not Path("/evil").exists()


def test_there_are_at_least_thirty_of_them():
    assert len(NAMES) >= 30


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file", "broken link"])
def test_what_is_there_already_is_not_touched(kind, tmp_path):
    place = tmp_path / "out"
    if kind == "file":
        place.write_bytes(b"1")
    elif kind == "broken link":
        place.symlink_to(tmp_path / "nowhere")
    else:
        place.mkdir()
        if kind == "folder":
            (place / "x").write_bytes(b"1")
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match="out: expected a new folder, got one that exists"):
        unpack_tar(io.BytesIO(GOOD), place)
    assert contents(tmp_path) == before


@given(PATHS)
def test_what_has_no_fault_is_written_below_the_folder(path):
    if path_fault(path) is None:
        found = Path("/top", path).resolve()
        assert found.is_relative_to("/top/")
        assert found.relative_to("/top").as_posix() == path
        assert len(header(path, 0)) == BLOCK


@given(st.text(max_size=40))
def test_no_text_at_all_leaves_the_folder(text):
    if path_fault(text) is None:
        assert os.path.normpath(text) == text
        assert text.isascii() and text.isprintable() and text[0] not in "./-"


@given(st.lists(PATHS, max_size=8))
def test_places_are_disjoint_on_any_disk(paths):
    places = Places()
    taken = [path for path in paths if places.fault(path) is None]
    folded = [path.lower() for path in taken]
    assert len(set(folded)) == len(folded)
    assert not any(a != b and b.startswith(f"{a}/") for a in folded for b in folded)


@given(st.dictionaries(PATHS, st.binary(max_size=1500), max_size=5))
def test_python_reads_the_same_from_what_is_written(files):
    places = Places()
    files = {path: c for path, c in files.items() if places.fault(path) is None}
    with tarfile.open(fileobj=io.BytesIO(tar(*files.items()))) as archive:
        found = {m.name: archive.extractfile(m).read() for m in archive.getmembers()}
        assert all(m.isreg() and m.uid == m.gid == 0 for m in archive.getmembers())
    assert found == files


@pytest.mark.parametrize(
    "path",
    [
        "f" * 49 + "/" + "g" * 100,
        "f" * 100 + "/" + "g" * 49,
        "d/" * 8 + "e" * 100,
        "d/" + "e" * 100,
    ],
)
def test_long_paths_have_room(path, tmp_path):
    assert unpack_tar(io.BytesIO(tar((path, b"1"))), tmp_path / "o") == 1
    assert (tmp_path / "o" / path).read_bytes() == b"1"


@pytest.mark.parametrize(("path", "size"), [("a", 8**11), ("a", -1), ("a" * 101, 0)])
def test_what_a_header_has_no_room_for_is_said(path, size):
    with pytest.raises(ValueError, match="expected a path and a size that a tar has room for"):
        header(path, size)


def test_every_command_of_a_bundle_is_a_program():
    assert sorted(COMMANDS) == sorted(EXECUTABLE)


def test_as_a_program_it_unpacks_what_has_the_right_hash(tmp_path):
    (tmp_path / "b.tar").write_bytes(GOOD)
    digest = hashlib.sha256(GOOD).hexdigest()
    done = script(tmp_path / "b.tar", tmp_path / "out", "--sha256", digest.upper())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "out/a/b/c.txt").read_bytes() == b"x" * 1000


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["b.tar", "out", "--sha256", "0" * 64], 6, f"sha256: expected {'0' * 64}, got "),
        (["b.tar", "out", "--max-bytes", "999"], 6, "file 2 a/b/c.txt: expected at most 999 bytes"),
        (["none.tar", "out"], 2, "No such file"),
        (["b.tar", "a/b/out"], 2, "No such file"),
        (["b.tar", "."], 2, "expected a new folder"),
        (["short.tar", "out"], 6, "short.tar: file 2: expected a whole archive"),
    ],
)
def test_its_refusals_are_one_line_and_an_exit_code(arguments, code, message, tmp_path, capsys):
    (tmp_path / "b.tar").write_bytes(GOOD)
    (tmp_path / "short.tar").write_bytes(GOOD[:2000])
    before = contents(tmp_path)
    places = [str(tmp_path / arguments[0]), str(tmp_path / arguments[1]), *arguments[2:]]
    assert safe_tar.main(places) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error
    assert contents(tmp_path) == before


def test_a_disk_that_takes_no_more_leaves_nothing(tmp_path):
    resource = pytest.importorskip("resource")
    (tmp_path / "b.tar").write_bytes(tar(("a", b"1"), ("b", bytes(100_000))))
    before = contents(tmp_path)
    done = script(
        tmp_path / "b.tar",
        tmp_path / "out",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )
    assert done.returncode == 2
    assert "File too large" in done.stderr and done.stderr.count("\n") == 1
    assert contents(tmp_path) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_program_that_is_ended_leaves_nothing(number, tmp_path):
    os.mkfifo(tmp_path / "b.tar")
    before = sorted(tmp_path.iterdir())
    command = [sys.executable, "-S", str(SCRIPT), str(tmp_path / "b.tar"), str(tmp_path / "out")]
    with (
        subprocess.Popen(command, stderr=subprocess.DEVNULL) as process,
        (tmp_path / "b.tar").open("wb", buffering=0) as pipe,
    ):
        pipe.write(GOOD[: 2 * BLOCK])  # the first file is whole, and more is to come
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob(".out-*/new/build")) and time.monotonic() < deadline:
            time.sleep(0.005)
        assert list(tmp_path.glob(".out-*/new/build"))
        process.send_signal(number)
        assert process.wait(30) != 0
    assert sorted(tmp_path.iterdir()) == before


def test_the_end_is_two_blocks():
    assert tar().endswith(END) and len(END) == 2 * BLOCK
