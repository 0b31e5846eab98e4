from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from erpose_edge.errors import ImageError
from erpose_edge.runtime.images import find_sources, is_video, read_image, read_video, video_rate

PICTURE = cv2.resize(
    np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8), (80, 60)
)  # smooth, so that JPEG keeps it


def _encoded(suffix: str, image: np.ndarray = PICTURE) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def _exif(thumbnail: bytes, orientation: int) -> bytes:
    """An APP1 segment with an orientation and an embedded thumbnail."""
    entry = b"\x12\x01\x03\x00\x01\x00\x00\x00" + orientation.to_bytes(2, "little") + b"\0\0"
    tiff = b"II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0"
    body = b"Exif\0\0" + tiff + thumbnail
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm"])
def test_pictures_are_read_as_bgr(tmp_path: Path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(_encoded(suffix))
    image = read_image(path)
    assert image.shape == PICTURE.shape
    assert image.dtype == np.uint8
    assert abs(image.astype(int) - PICTURE).mean() < 5


@pytest.mark.parametrize("image", [PICTURE[..., 0], np.dstack([PICTURE, PICTURE[..., 0]])])
def test_grey_and_transparent_pictures_get_three_channels(tmp_path: Path, image):
    path = tmp_path / "a.png"
    path.write_bytes(_encoded(".png", image))
    assert read_image(path).shape == PICTURE.shape


def test_a_photograph_is_turned_upright(tmp_path: Path):
    content = _encoded(".jpg")
    path = tmp_path / "a.jpg"
    path.write_bytes(content[:2] + _exif(b"", 6) + content[2:])
    upright = read_image(path)
    assert upright.shape == (80, 60, 3)
    assert abs(upright.astype(int) - cv2.rotate(PICTURE, cv2.ROTATE_90_CLOCKWISE)).mean() < 5


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_picture_that_is_cut_off_is_refused_in_one_line(tmp_path, capfd, suffix, part):
    content = _encoded(suffix)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_every_prefix_of_a_jpeg_is_refused_and_bytes_behind_its_end_are_not(tmp_path: Path):
    content = _encoded(".jpg", PICTURE[:16, :16])
    path = tmp_path / "a.jpg"
    for size in range(2, len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(ImageError, match=r"cut off after|damaged"):
            read_image(path)
    path.write_bytes(content + b"\0" * 100)
    assert read_image(path).shape == (16, 16, 3)


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_photograph(tmp_path: Path):
    content = _encoded(".jpg")
    thumbnail = _encoded(".jpg", PICTURE[::4, ::4].copy())
    path = tmp_path / "a.jpg"
    path.write_bytes((content[:2] + _exif(thumbnail, 1) + content[2:])[:-40])
    with pytest.raises(ImageError, match="expected a whole JPEG, got one cut off"):
        read_image(path)


def test_a_progressive_jpeg_with_restarts_is_whole(tmp_path: Path):
    settings = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]
    path = tmp_path / "a.jpg"
    path.write_bytes(cv2.imencode(".jpg", PICTURE, settings)[1].tobytes())
    assert read_image(path).shape == PICTURE.shape


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a picture, got no such file; check the path"),
        (b"", "expected a picture, got an empty file; fetch it again"),
        (b"no picture", "got 10 bytes that are none or are damaged"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content, message):
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_folder_is_not_a_picture(tmp_path: Path):
    with pytest.raises(ImageError, match="expected a picture, got a folder"):
        read_image(tmp_path)


def test_folders_are_replaced_by_their_pictures_and_videos_in_order(tmp_path: Path):
    for name in ("b.PNG", "a.jpg", "c.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "inner.jpg").mkdir()
    (tmp_path / "empty").mkdir()
    found = list(find_sources([tmp_path, "other.xyz", tmp_path / "empty"]))
    assert [getattr(f, "name", None) for f in found] == [
        "a.jpg",
        "b.PNG",
        "c.mp4",
        "other.xyz",
        None,
    ]
    assert "expected pictures or videos in the folder, got none" in str(found[-1])


def test_a_video_gives_its_frames_and_rate(tmp_path: Path):
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12, (64, 48))
    for level in (0, 100, 200):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    frames = list(read_video(path))
    assert [f.shape for f in frames] == [(48, 64, 3)] * 3
    assert [round(float(f.mean()) / 100) for f in frames] == [0, 1, 2]
    assert video_rate(path) == 12
    assert is_video(path)
    assert not is_video("a.jpg")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a video, got no such file"),
        (b"", "expected a video, got an empty file"),
        (b"no video" * 100, "expected a video that cv2 opens"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path, content, message):
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    for read in (lambda: list(read_video(path)), lambda: video_rate(path)):
        with pytest.raises(ImageError) as caught:
            read()
        assert f"{path}: {message}" in str(caught.value)


def test_what_is_no_video_is_refused_in_one_line(tmp_path: Path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video")
    code = f"from erpose_edge.runtime.images import read_video; next(read_video({str(path)!r}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "expected a video that cv2 opens" in run.stderr.splitlines()[-1]
    assert "moov" not in run.stderr  # FFmpeg's own words
