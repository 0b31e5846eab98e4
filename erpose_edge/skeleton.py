"""Skeletons: the names, sigmas, mirror pairs and limbs of COCO-17 and CrowdPose-14.

This is the only copy in the project. Sigma is the fall-off of a keypoint in OKS (COCO's k_i is
2 * sigma_i).

Ref: COCO: https://cocodataset.org/#keypoints-eval; CrowdPose: Li et al., CVPR 2019, and the
sigmas of its evaluation tool.
"""

from __future__ import annotations

from dataclasses import dataclass

from erpose_edge.errors import ConfigError


@dataclass(frozen=True)
class Skeleton:
    """One convention of keypoints.

    Attributes:
        name: How configs, weights and manifests name it.
        keypoints: Keypoint names in label order, K of them.
        sigmas: Fall-off of each keypoint, unitless, K of them.
        mirror: For each keypoint, the index it takes in a mirrored image.
        limbs: Pairs of keypoint indices that a drawing joins.
    """

    name: str
    keypoints: tuple[str, ...]
    sigmas: tuple[float, ...]
    mirror: tuple[int, ...]
    limbs: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.keypoints)


def _mirror(names: tuple[str, ...]) -> tuple[int, ...]:
    swap = {"left": "right", "right": "left"}
    partner = [
        swap.get(n.split("_")[0], n.split("_")[0]) + n[len(n.split("_")[0]) :] for n in names
    ]
    return tuple(names.index(n) for n in partner)


def _limbs(names: tuple[str, ...], pairs: str) -> tuple[tuple[int, int], ...]:
    return tuple(
        (names.index(a), names.index(b)) for a, b in (pair.split("-") for pair in pairs.split())
    )


_COCO = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
_CROWDPOSE = (
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "top_head", "neck",
)  # fmt: skip
_BODY_LIMBS = (
    "left_shoulder-left_elbow left_elbow-left_wrist right_shoulder-right_elbow "
    "right_elbow-right_wrist left_hip-left_knee left_knee-left_ankle right_hip-right_knee "
    "right_knee-right_ankle left_shoulder-left_hip right_shoulder-right_hip left_hip-right_hip "
)

COCO_17 = Skeleton(
    name="coco-17",
    keypoints=_COCO,
    sigmas=(.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087,
            .087, .089, .089),
    mirror=_mirror(_COCO),
    limbs=_limbs(
        _COCO,
        _BODY_LIMBS + "left_shoulder-right_shoulder nose-left_eye nose-right_eye "
        "left_eye-left_ear right_eye-right_ear left_ear-left_shoulder right_ear-right_shoulder",
    ),
)  # fmt: skip

CROWDPOSE_14 = Skeleton(
    name="crowdpose-14",
    keypoints=_CROWDPOSE,
    sigmas=(.079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089, .079, .079),
    mirror=_mirror(_CROWDPOSE),
    limbs=_limbs(
        _CROWDPOSE,
        _BODY_LIMBS + "top_head-neck neck-left_shoulder neck-right_shoulder",
    ),
)  # fmt: skip

SKELETONS = {s.name: s for s in (COCO_17, CROWDPOSE_14)}


def skeleton_named(name: str) -> Skeleton:
    """Return the skeleton called ``name``.

    Raises:
        ConfigError: No skeleton has that name.
    """
    try:
        return SKELETONS[name]
    except KeyError:
        known = " or ".join(SKELETONS)
        raise ConfigError(f"skeleton: expected {known}, got {name!r}") from None
