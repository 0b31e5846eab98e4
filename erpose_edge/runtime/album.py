"""Write drawn pictures and videos into a folder without overwriting what they were made from."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from erpose_edge.errors import ImageError, RequestError
from erpose_edge.runtime.images import quiet_ffmpeg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

_JPEG_QUALITY = 92


class Album:
    """A folder of results; each is named for its source and appears when it is complete."""

    def __init__(self, folder: str | Path) -> None:
        """Make the folder.

        Raises:
            RequestError: It cannot be made or is a file.
        """
        self.folder = Path(folder)
        self._given: set[Path] = set()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestError(
                f"{self.folder}: expected a folder for the pictures, got {error.strerror}; "
                "choose another place"
            ) from None

    def write_picture(self, source: Path, image: NDArray[np.uint8]) -> Path:
        """Write a BGR picture as JPEG and return where.

        Raises:
            RequestError: The file cannot be written.
        """
        path = self._place(source, ".jpg")
        _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        unfinished = path.with_name(f".{path.name}.part")
        try:
            unfinished.write_bytes(content.tobytes())
            unfinished.replace(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise RequestError(
                f"{path}: expected to write a picture, got {error.strerror}; choose another place"
            ) from None
        return path

    @contextmanager
    def video(
        self, source: Path, rate: float
    ) -> Iterator[tuple[Path, Callable[[NDArray[np.uint8]], None]]]:
        """Return where a video will be and what writes a BGR frame of it (MPEG-4, no sound).

        Args:
            source: The video it is named for.
            rate: Frames a second.

        Raises:
            ImageError: This build of cv2 cannot write it.
        """
        path = self._place(source, ".mp4")
        unfinished = path.with_name(f".{path.stem}.part.mp4")  # cv2 goes by the suffix
        writer: cv2.VideoWriter | None = None
        size = (0, 0)

        def write(frame: NDArray[np.uint8]) -> None:
            nonlocal writer, size
            if writer is None:
                quiet_ffmpeg()
                size = (frame.shape[1], frame.shape[0])
                writer = cv2.VideoWriter(
                    str(unfinished), cv2.VideoWriter.fourcc(*"mp4v"), rate, size
                )
                if not writer.isOpened():
                    raise ImageError(f"{path}: expected cv2 to write MPEG-4, got a build without")
            writer.write(frame if frame.shape[1::-1] == size else cv2.resize(frame, size))

        try:
            yield path, write
            if writer is not None:
                writer.release()
                unfinished.replace(path)
        finally:
            if writer is not None:
                writer.release()
            unfinished.unlink(missing_ok=True)

    def _place(self, source: Path, suffix: str) -> Path:
        """Return a name that neither another result of this run nor the source has."""
        number = 1
        while True:
            stem = source.stem if number == 1 else f"{source.stem}-{number}"
            path = self.folder / f"{stem}{suffix}"
            if path not in self._given and path.resolve() != source.resolve():
                self._given.add(path)
                return path
            number += 1
