"""Pictures of a run are pictures."""

from __future__ import annotations

import numpy as np
import pytest

from erpose_edge.data.sources import Generated, GeneratedPeople
from erpose_edge.errors import ImageError
from erpose_edge.runtime.images import read_image
from erpose_edge.runtime.poses import Poses
from erpose_edge.skeleton import COCO_17
from erpose_edge.training.curves import draw_samples, plot_curves


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("ap", [True, False])
def test_curves_are_drawn_with_and_without_validation(tmp_path, epochs, ap):
    rows = [
        {"epoch": e + 1, "learning_rate": 1e-3, "loss": 2.0, "dense_score": 1 / (e + 1)}
        | ({"ap": 0.1 * e, "ap50": 0.2, "ar": 0.3} if ap else {})
        for e in range(epochs)
    ]
    plot_curves(rows, tmp_path / "curves.png")
    assert np.ptp(read_image(tmp_path / "curves.png")) > 200


class Nobody:
    skeleton = COCO_17

    def __call__(self, _):
        return Poses.nobody(17)


def test_samples_of_any_size_make_one_sheet_without_the_unreadable_ones(tmp_path):
    source = Generated(GeneratedPeople(7, seed=0, size=(64, 96)))
    read = source.image_and_labels

    def one_is_bad(index):
        if index == 2:
            raise ImageError("2.jpg: expected a picture, got none")
        image, labels = read(index)
        return image[: 64 - 8 * index], labels

    source.image_and_labels = one_is_bad
    draw_samples(Nobody(), source, tmp_path / "samples.jpg", count=5)
    assert read_image(tmp_path / "samples.jpg").shape == (2 * 320, 4 * 320, 3)
