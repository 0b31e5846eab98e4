"""What the first pose costs: opening the artifact, and the first frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.validate.latency.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from erpose_edge.runtime.estimator import PoseEstimator
    from erpose_edge.validate.latency.frames import FrameSet


def open_timed(
    load: Callable[[], PoseEstimator], frames: FrameSet, clock: Clock | None = None
) -> tuple[PoseEstimator, NDArray[np.int64]]:
    """Open an estimator and find the first poses.

    How long the program itself takes to start is another thing; see `on_device.cold_start`.

    Args:
        load: Reads the artifact and opens its engine: the first time in this process.
        frames: The first of them is used.
        clock: Another than this machine's, for tests.

    Returns:
        The estimator, and when loading began, when it ended, and when the first poses were there,
        (3,) in ns.
    """
    now = (clock or Clock()).now_ns
    picture = frames.decode(0)
    begun = now()
    estimator = load()
    loaded = now()
    estimator(picture)
    return estimator, np.array([begun, loaded, now()], np.int64)
