from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from erpose_edge.errors import RequestError
from erpose_edge.runtime.album import Album
from erpose_edge.runtime.images import read_image, read_video, video_rate

IMAGE = np.full((48, 64, 3), 120, np.uint8)


def test_pictures_get_the_name_of_their_source_and_never_overwrite_each_other(tmp_path: Path):
    album = Album(tmp_path / "out")
    paths = [album.write_picture(Path(p), IMAGE) for p in ("a/1.png", "b/1.jpg", "c/2.png")]
    assert [p.name for p in paths] == ["1.jpg", "1-2.jpg", "2.jpg"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["1-2.jpg", "1.jpg", "2.jpg"]
    assert abs(read_image(paths[0]).astype(int) - IMAGE).max() <= 2


def test_a_second_run_replaces_the_results_of_the_first(tmp_path: Path):
    for _ in range(2):
        Album(tmp_path).write_picture(Path("a/1.png"), IMAGE)
    assert [p.name for p in tmp_path.iterdir()] == ["1.jpg"]


def test_the_source_is_never_overwritten(tmp_path: Path):
    source = tmp_path / "1.jpg"
    source.write_bytes(b"precious")
    assert Album(tmp_path).write_picture(source, IMAGE).name == "1-2.jpg"
    assert source.read_bytes() == b"precious"


def test_a_video_is_there_when_it_is_complete(tmp_path: Path):
    album = Album(tmp_path)
    with album.video(Path("clip.avi"), 10.0) as (path, write):
        for _ in range(3):
            write(IMAGE)
        assert not path.exists()
    assert path.name == "clip.mp4"
    assert [f.shape for f in read_video(path)] == [IMAGE.shape] * 3
    assert video_rate(path) == 10
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_video_that_fails_leaves_nothing(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), Album(tmp_path).video(Path("a.mp4"), 10.0) as (_, write):
        write(IMAGE)
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RequestError, match="expected a folder for the pictures, got"):
        Album(tmp_path / "file")
