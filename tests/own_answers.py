"""A small quantized network, and images labelled with what its float twin finds in them.

So the float network's AP is 1, whatever its random weights are, and what int8 loses is measured.
"""

from __future__ import annotations

import numpy as np
import torch
from quantized_network import float_network, quantized_network, smooth_images
from torch import fx

from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.network.torch_runner import torch_estimator
from erpose_edge.quantization.recipe import Policy, load_policy
from erpose_edge.quantization.sensitivity.variants import Variants
from erpose_edge.skeleton import COCO_17
from erpose_edge.validate.accuracy import SCORE_THRESHOLD

SIZE = (64, 64)
_KEEP_FLOAT = ["backbone", "neck", "head.score_tower"]


def small_policy(*, per_channel: bool = True) -> Policy:
    """Return a policy with six layers in int8, those of the pose tower."""
    policy = load_policy("default")
    rule = policy.weights.model_copy(update={"per_channel": per_channel})
    keep = [*policy.keep_float, *_KEEP_FLOAT]
    return policy.model_copy(update={"keep_float": keep, "weights": rule})


def small_quantized_network(*, per_channel: bool = True) -> fx.GraphModule:
    """Return an ER-Pose-n under `small_policy`, calibrated."""
    source = float_network()
    with torch.no_grad():
        for conv in source.head.keypoints:
            conv.weight *= 40  # so that people have a size
    return quantized_network(source, small_policy(per_channel=per_channel))


def own_answers(network: fx.GraphModule, count: int) -> list[tuple[np.ndarray, ImageLabels]]:
    """Return images, BGR uint8, with what the float network finds in them as labels."""
    Variants(network).choose(())
    estimator = torch_estimator(
        network, SIZE, COCO_17, max_poses=3, score_threshold=SCORE_THRESHOLD
    )
    samples = []
    for index, pixels in enumerate(smooth_images(count, 40, SIZE)):
        colours = (pixels.permute(1, 2, 0).numpy()[:, :, ::-1] * 255).round().astype(np.uint8)
        image = np.ascontiguousarray(colours)
        poses = estimator(image)
        n = len(poses)
        low, high = poses.keypoints.min(1), poses.keypoints.max(1)
        visible = np.full((n, len(COCO_17), 1), 2, np.float32)
        labels = ImageLabels(
            image_id=index + 1,
            file_name=f"{index}.png",
            width=SIZE[1],
            height=SIZE[0],
            keypoints=np.concatenate([poses.keypoints, visible], 2),
            boxes=np.concatenate([low, high - low], 1),
            areas=(high - low).prod(1).astype(np.float64),
            ignore=np.zeros(n, bool),
            annotation_ids=np.arange(n) + 10 * index + 1,
        )
        samples.append((image, labels))
    return samples
