"""From a label file to the loss: who is neither person nor background teaches no score."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from small_people import INPUT_SIZE, POINTS, SIGMAS, STRIDES, K

from erpose_edge.data.sample import clip_people, sample_of
from erpose_edge.metrics.labels import read_labels
from erpose_edge.network.pose_network import Predictions
from erpose_edge.training.assignment import AssignmentRule, assign
from erpose_edge.training.loader import collate
from erpose_edge.training.losses import branch_loss

BOX = (33.0, 2.0, 27.0, 40.0)  # x, y, width, height
INSIDE = (
    (POINTS[:, 0] >= BOX[0])
    & (POINTS[:, 0] < BOX[0] + BOX[2])
    & (POINTS[:, 1] >= BOX[1])
    & (POINTS[:, 1] < BOX[1] + BOX[3])
)
SPREAD_OUT = [value for k in range(K) for value in (35.0 + k, 5.0 + 2 * k, 2)]
MASKED = {
    "crowd": {"iscrowd": 1, "keypoints": [0] * 3 * K},
    "crowd with keypoints": {"iscrowd": 1, "keypoints": SPREAD_OUT},
    "ignore": {"ignore": 1, "keypoints": SPREAD_OUT},
    "no labelled keypoint": {"keypoints": [0] * 3 * K},
    "labelled keypoints out of the picture": {"keypoints": [-30.0, 20.0, 2] + [0] * 3 * (K - 1)},
    "too small to see": {"area": 20.0, "keypoints": SPREAD_OUT},
}


def annotation(number, box, **fields):
    return {"id": number, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": list(box),
            "area": 600.0, **fields}  # fmt: skip


def people_of(tmp_path, *annotations):
    """Return the people that training gets from a picture with these annotations."""
    path = tmp_path / "labels.json"
    size = {"height": INPUT_SIZE[0], "width": INPUT_SIZE[1]}
    image = {"id": 1, "file_name": "1.jpg", **size}
    path.write_text(json.dumps({"images": [image], "annotations": annotations}))
    (labels,) = read_labels(path).images
    sample = sample_of(np.zeros((*INPUT_SIZE, 3), np.uint8), labels, complete=False)
    return collate([clip_people(sample, (0, 0, *INPUT_SIZE[::-1]))]).people


def score_gradients(people, topk):
    """Gradient of the score loss at every grid point, of a network that thinks all of them full."""
    scores = torch.full((1, len(POINTS)), 2.0, requires_grad=True)
    poses = POINTS[None, :, None].expand(-1, -1, K, -1)
    guess = Predictions(scores, poses, torch.zeros(1, len(POINTS), K))
    rule = AssignmentRule(topk)
    assignment = assign(guess, people, POINTS, STRIDES, SIGMAS, rule)
    loss = branch_loss(guess, assignment, people, SIGMAS, 0.3, lambda totals: totals.clamp(min=1))
    loss.score.backward()
    return scores.grad[0], assignment


@pytest.mark.parametrize("topk", [1, 10])
@pytest.mark.parametrize("fields", MASKED.values(), ids=MASKED)
def test_inside_its_box_no_score_is_pushed_down(tmp_path, fields, topk):
    gradient, assignment = score_gradients(people_of(tmp_path, annotation(1, BOX, **fields)), topk)
    assert not assignment.positive.any()
    assert (gradient[INSIDE] == 0).all()
    assert (gradient[~INSIDE] > 0).all()


@pytest.mark.parametrize("topk", [1, 10])
@pytest.mark.parametrize("fields", MASKED.values(), ids=MASKED)
def test_it_changes_nothing_for_the_others(tmp_path, fields, topk):
    other = annotation(2, (2.0, 40.0, 22.0, 20.0), keypoints=[v for k in range(K)
                       for v in (3.0 + k, 42.0 + k, 2)])  # fmt: skip
    alone, first = score_gradients(people_of(tmp_path, other), topk)
    beside, second = score_gradients(people_of(tmp_path, annotation(1, BOX, **fields), other), topk)
    assert torch.equal(first.positive, second.positive)
    assert torch.equal(first.score, second.score)
    learnt = ~INSIDE | second.positive[0]
    assert torch.equal(alone[learnt], beside[learnt])


def test_a_labelled_person_in_the_same_box_would_be_learnt(tmp_path):
    gradient, assignment = score_gradients(
        people_of(tmp_path, annotation(1, BOX, keypoints=SPREAD_OUT)), 10
    )
    assert assignment.positive.sum() == 10
    assert (gradient != 0).all()
