"""Read photographs, folders of them, and videos.

cv2 fills the missing part of a truncated JPEG with grey and says nothing to its caller, so the
bytes are checked before they are decoded.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from erpose_edge.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")

_JPEG_START = b"\xff\xd8"
_JPEG_END = 0xD9
_JPEG_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
# In compressed data FF is followed by 00, or by a restart mark D0-D7; FF FF is padding.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Read a photograph, turned upright as its EXIF data say.

    Returns:
        BGR (H, W, 3), 8 bits; grey pictures get three equal channels, transparency is dropped.

    Raises:
        ImageError: The file is missing, empty, cut off, or not a picture.
    """
    content = _read_bytes(Path(path))
    if content.startswith(_JPEG_START) and not _jpeg_is_whole(content):
        raise _cut_off(path, "JPEG", len(content))
    if content.startswith(_PNG_START) and _PNG_END not in content[-1024:]:
        raise _cut_off(path, "PNG", len(content))
    with silent_cv2():
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error as error:  # larger than cv2's limit, for example
            detail = str(error).strip().splitlines()[0]
            raise ImageError(f"{path}: expected a picture that cv2 reads, got {detail}") from None
    if image is None:
        raise ImageError(
            f"{path}: expected a picture (JPEG, PNG, WebP, BMP, TIFF), got {len(content)} bytes "
            "that are none or are damaged; open it in a viewer"
        )
    return np.asarray(image, np.uint8)


def is_video(path: str | Path) -> bool:
    """Say whether a file's name is a video's."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def find_sources(paths: Iterable[str | Path]) -> Iterator[Path | ImageError]:
    """Replace folders by the pictures and videos right inside them, in the order of their names.

    Yields:
        A file, which may still prove unreadable, or the error for a folder that has no such file
        (an error that is yielded lets the caller go on with the next path).
    """
    for given in paths:
        path = Path(given)
        if not path.is_dir():
            yield path
            continue
        suffixes = IMAGE_SUFFIXES + VIDEO_SUFFIXES
        found = sorted(f for f in path.iterdir() if f.suffix.lower() in suffixes and f.is_file())
        if not found:
            yield ImageError(f"{path}: expected pictures or videos in the folder, got none")
        yield from found


def read_video(path: str | Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a video, BGR (H, W, 3).

    Raises:
        ImageError: The file is missing, empty, or no frame can be decoded.
    """
    capture = _open_video(path)
    try:
        frames = 0
        while True:
            with silent_cv2():
                more, frame = capture.read()
            if not more:
                break
            frames += 1
            yield np.asarray(frame, np.uint8)
        if frames == 0:
            raise ImageError(f"{path}: expected a video, got no frame; is its codec supported?")
    finally:
        capture.release()


def video_rate(path: str | Path) -> float:
    """Return a video's frames a second; 25 where the file does not say.

    Raises:
        ImageError: The file is missing, empty or not a video.
    """
    capture = _open_video(path)
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    capture.release()
    return rate if 0 < rate < 1000 else 25.0


def quiet_ffmpeg() -> None:
    """Keep FFmpeg inside cv2 from printing; cv2 asks for this once, at its first video."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def _open_video(path: str | Path) -> cv2.VideoCapture:
    _check_file(Path(path), "a video")
    quiet_ffmpeg()
    with silent_cv2():
        capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise ImageError(f"{path}: expected a video that cv2 opens, got another file or codec")
    return capture


def _check_file(path: Path, what: str) -> None:
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise ImageError(f"{path}: expected {what}, got {found}; check the path")
    if path.stat().st_size == 0:
        raise ImageError(f"{path}: expected {what}, got an empty file; fetch it again")


def _read_bytes(path: Path) -> bytes:
    _check_file(path, "a picture")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: expected a readable picture, got {error.strerror}") from None


def _cut_off(path: str | Path, kind: str, size: int) -> ImageError:
    return ImageError(
        f"{path}: expected a whole {kind}, got one cut off after {size} bytes; fetch it again"
    )


def _jpeg_is_whole(content: bytes) -> bool:
    """Walk the markers to the end mark; the one of an embedded thumbnail does not count."""
    at = len(_JPEG_START)
    while True:
        found = _JPEG_MARKER.search(content, at)
        if found is None:
            return False
        kind = content[found.start() + 1]
        at = found.end()
        if kind == _JPEG_END:
            return True
        if kind in _JPEG_WITHOUT_LENGTH:
            continue
        if at + 2 > len(content):
            return False
        at += int.from_bytes(content[at : at + 2], "big")  # after a scan's header follow its data


@contextmanager
def silent_cv2() -> Iterator[None]:
    """Keep cv2 from printing: the caller says in one line what is wrong."""
    logging = getattr(getattr(cv2, "utils", None), "logging", None)
    if logging is None:  # OpenCV before 4.5
        yield
        return
    before = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(before)
