"""Pictures of a verdict: the same scenes seen by fp32 and by the chosen artifact."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from erpose_edge.deploy.ladder import REFERENCE, Deployment
from erpose_edge.runtime.draw import draw_poses
from erpose_edge.runtime.images import read_image
from erpose_edge.runtime.poses import Poses

_GAP = 8  # pixels between two pictures


def draw_verdict(
    deployment: Deployment,
    folder: Path,
    *,
    count: int = 6,
) -> list[Path]:
    """Write pictures, each precision side by side in the order in which they were tried.

    Args:
        deployment: What was measured; its poses are drawn.
        folder: Made if missing.
        count: Pictures, from the first samples that have people.

    Returns:
        The files that were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    score = next(iter(deployment.artifacts.values())).manifest.score_threshold
    precisions = [p for p in deployment.artifacts if p != REFERENCE]
    written: list[Path] = []
    for source, labels in deployment.evaluation.samples:
        if len(written) == count:
            break
        found = [
            deployment.accuracy[p].poses.get(labels.image_id) for p in (REFERENCE, *precisions)
        ]
        if labels.ignore.all() or any(poses is None for poses in found):
            continue
        image = read_image(source) if isinstance(source, Path) else source
        drawn = [
            draw_poses(image, _above(p, score), deployment.evaluation.skeleton)
            for p in found
            if p is not None
        ]
        gap = np.full((image.shape[0], _GAP, 3), 255, np.uint8)
        sheet = [part for picture in drawn for part in (gap, picture)][1:]
        path = folder / f"{Path(labels.file_name).stem}.jpg"
        cv2.imwrite(str(path), np.concatenate(sheet, 1))
        written.append(path)
    return written


def _above(poses: Poses, score: float) -> Poses:
    kept = poses.scores >= score
    return Poses(poses.scores[kept], poses.keypoints[kept], poses.visibility[kept])
