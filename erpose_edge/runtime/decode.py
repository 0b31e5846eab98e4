"""From the network's outputs to poses in source pixels, the numpy twin of ``network/decode.py``.

What the outputs hold depends on the contract that the manifest names:

========  =====================  ===================================================================
raw       scores_S               (1, 1, h, w) logits, for every stride S
          keypoints_S            (1, 2K, h, w) offsets x0, y0, x1, y1, ... from the grid point
          visibility_S           (1, K, h, w) logits
          boxes_S                (1, 4 * bins, h, w) logits of the distances, in strides, of left,
                                 top, right and bottom from the grid point; not every network
decoded   scores                 (1, G) probabilities; strides ascending, then row by row
          keypoints              (1, G, K, 2) input pixels
          visibility             (1, G, K) probabilities
          boxes                  (1, G, 4) x0, y0, x1, y1 in input pixels; not every network
compact   the same               the best ``max_poses`` grid points only, best first
========  =====================  ===================================================================

The grid point of cell (row i, column j) is ((j + 0.5) * S, (i + 0.5) * S) input pixels; offsets are
counted in units of 2 * S pixels. A one-to-one network answers once for a person: nothing is
suppressed. A dense one answers often: its manifest names the overlap at which the worse answer
goes, and its compact graph gives the best `CANDIDATES` of `erpose_edge.runtime.nms` instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.errors import RequestError
from erpose_edge.runtime.nms import CANDIDATES, around, suppress
from erpose_edge.runtime.poses import Poses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from erpose_edge.runtime.preprocess import Letterbox

CONTRACTS = ("raw", "decoded", "compact")
OFFSET_UNIT = 2.0  # offsets are counted in units of two strides
_FEW = 100  # so many scores are sorted faster than sifted
_TENSORS = ("scores", "keypoints", "visibility", "boxes")


def output_names(contract: str, strides: Sequence[int], *, boxes: bool = False) -> tuple[str, ...]:
    """Return the outputs of a contract in the order of the graph, ``boxes`` if there are any.

    Raises:
        RequestError: No contract has that name.
    """
    tensors = _TENSORS if boxes else _TENSORS[:-1]
    if contract == "raw":
        return tuple(f"{name}_{stride}" for stride in strides for name in tensors)
    if contract in CONTRACTS:
        return tensors
    raise RequestError(f"contract: expected {' or '.join(CONTRACTS)}, got {contract!r}")


def decode(
    outputs: Mapping[str, NDArray[np.float32]],
    contract: str,
    letterbox: Letterbox,
    strides: Sequence[int],
    score_threshold: float,
    max_poses: int,
    nms: float | None = None,
) -> Poses:
    """Return the poses of the first image of a batch.

    Args:
        outputs: Arrays by name as the module's table says; they are not kept or changed.
        contract: "raw", "decoded" or "compact".
        letterbox: How the source lies in the input.
        strides: Strides of the levels in input pixels, ascending; used by "raw".
        score_threshold: Poses with a lower score are left out, in [0, 1].
        max_poses: At most so many are returned.
        nms: Overlap, in (0, 1], above which the pose with the lower score goes; None keeps all.
            Of the network's boxes, or else of the rectangles around its keypoints.

    Returns:
        Poses best first, keypoints in source pixels. Equal scores keep the order of the grid.

    Raises:
        RequestError: No contract has that name.
    """
    output_names(contract, strides)  # an unknown contract
    most = max_poses if nms is None else CANDIDATES
    if contract == "raw":
        scores, keypoints, visibility, *boxes = _from_raw(outputs, strides, score_threshold, most)
    else:
        best = _best(outputs["scores"][0], score_threshold, most)
        scores, keypoints, visibility, *boxes = (
            outputs[name][0][best] for name in _TENSORS if name in outputs
        )
    if nms is not None:
        kept = suppress(boxes[0] if boxes else around(keypoints), nms, max_poses)
        scores, keypoints, visibility = scores[kept], keypoints[kept], visibility[kept]
    return Poses(
        scores.astype(np.float32, copy=False),
        letterbox.to_source(keypoints.astype(np.float32, copy=False)),
        visibility.astype(np.float32, copy=False),
    )


def _from_raw(
    outputs: Mapping[str, NDArray[np.float32]],
    strides: Sequence[int],
    score_threshold: float,
    max_poses: int,
) -> tuple[NDArray[np.float32], ...]:
    """Pick first, then decode what was picked: 30 poses instead of 8400."""
    levels = [outputs[f"scores_{stride}"][0, 0] for stride in strides]
    all_scores = _sigmoid(np.concatenate([level.ravel() for level in levels]))
    best = _best(all_scores, score_threshold, max_poses)
    k = outputs[f"visibility_{strides[0]}"].shape[1]
    keypoints = np.empty((len(best), k, 2), np.float32)
    visibility = np.empty((len(best), k), np.float32)
    boxes = np.empty((len(best), 4), np.float32)
    start = 0
    for stride, level in zip(strides, levels):
        here = np.flatnonzero((best >= start) & (best < start + level.size))
        row, column = np.divmod(best[here] - start, level.shape[1])
        offsets = outputs[f"keypoints_{stride}"][0][:, row, column].T.reshape(-1, k, 2)
        grid = (np.stack([column, row], axis=1) + 0.5) * stride
        keypoints[here] = OFFSET_UNIT * stride * offsets + grid[:, None]
        visibility[here] = _sigmoid(outputs[f"visibility_{stride}"][0][:, row, column].T)
        if f"boxes_{stride}" in outputs:
            bins = outputs[f"boxes_{stride}"][0][:, row, column].T
            distances = stride * _mean_bin(bins.reshape(len(here), 4, bins.shape[1] // 4))
            boxes[here] = np.concatenate([grid - distances[:, :2], grid + distances[:, 2:]], axis=1)
        start += level.size
    decoded = (all_scores[best], keypoints, visibility)
    return (*decoded, boxes) if f"boxes_{strides[0]}" in outputs else decoded


def _mean_bin(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean index (N, 4) of the distributions whose logits are (N, 4, bins)."""
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    total = shares.sum(axis=-1)
    return np.asarray(shares @ np.arange(logits.shape[-1], dtype=np.float32) / total, np.float32)


def _best(scores: NDArray[np.float32], threshold: float, most: int) -> NDArray[np.intp]:
    """Return the indices of the ``most`` best scores that reach ``threshold``, best first."""
    if len(scores) <= _FEW:
        count = min(np.count_nonzero(scores >= threshold), most)
        return np.argsort(-scores, kind="stable")[:count]  # NaN comes last
    kept = np.flatnonzero(scores >= threshold)
    if len(kept) > most:  # sorting all grid points would cost more than all the rest
        reached = np.partition(scores[kept], len(kept) - most)[len(kept) - most]
        kept = kept[scores[kept] >= reached]
    order = np.argsort(-scores[kept], kind="stable")
    return kept[order[:most]]


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    # Beyond 80 the answer is 0 or 1 in float32; further out exp would overflow.
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), np.float32)
