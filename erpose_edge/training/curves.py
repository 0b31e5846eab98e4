"""Pictures of a run: its curves, and what the network sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from erpose_edge.data.sources import Source
from erpose_edge.errors import ImageError
from erpose_edge.runtime.draw import draw_poses
from erpose_edge.runtime.estimator import PoseEstimator

_SAMPLE_HEIGHT = 320  # pixels


def plot_curves(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw losses, learning rate and validation AP over the epochs of ``metrics.jsonl``.

    Args:
        rows: One dictionary an epoch.
        path: PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in rows]
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    losses, scores, rates = figure.subplots(1, 3)
    names = [n for n in rows[-1] if n == "imitation" or n.endswith(("_score", "_pose"))]
    for name in names:
        losses.plot(epochs, [row.get(name, np.nan) for row in rows], marker=".", label=name)
    losses.set(title="loss", xlabel="epoch", yscale="log")
    for name in ("ap", "ap50", "ar"):
        if any(name in row for row in rows):
            values = [row.get(name, np.nan) for row in rows]
            scores.plot(epochs, values, marker=".", label=name)
    scores.set(title="validation", xlabel="epoch", ylim=(0, None))
    rates.plot(epochs, [row["learning_rate"] for row in rows], marker=".", label="learning rate")
    rates.set(title="learning rate", xlabel="epoch")
    for axes in (losses, scores, rates):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    figure.savefig(path, dpi=100)


def draw_samples(estimator: PoseEstimator, source: Source, path: Path, count: int = 8) -> None:
    """Write a sheet of pictures with the poses that ``estimator`` finds in them.

    Args:
        estimator: Its score threshold decides what is drawn.
        source: Its first ``count`` readable images are shown.
        path: JPEG to write.
        count: Pictures, in rows of four.
    """
    tiles: list[np.ndarray] = []
    for index in range(len(source)):
        if len(tiles) == count:
            break
        try:
            image, _ = source.image_and_labels(index)
        except ImageError:
            continue
        drawn = draw_poses(image, estimator(image), estimator.skeleton)
        tiles.append(_tile(drawn))
    rows = [np.concatenate(tiles[i : i + 4], 1) for i in range(0, len(tiles), 4)]
    width = max((row.shape[1] for row in rows), default=0)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    if padded:
        cv2.imwrite(str(path), np.concatenate(padded))


def _tile(image: np.ndarray) -> np.ndarray:
    """Return ``image`` in a square of `_SAMPLE_HEIGHT`, its proportions kept."""
    scale = _SAMPLE_HEIGHT / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    tile = np.zeros((_SAMPLE_HEIGHT, _SAMPLE_HEIGHT, 3), np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small
    return tile
