import hashlib
import json

import cv2
import numpy as np
import pytest

from erpose_edge.errors import ConfigError, DataError
from erpose_edge.quantization.calibrate import CalibrationImages
from erpose_edge.quantization.recipe import CocoCalibration, load_calibration
from erpose_edge.runtime.preprocess import preprocess


@pytest.fixture
def photographs(tmp_path):
    """Three pictures and their label file; ids 11, 12, 13."""
    rng = np.random.default_rng(0)
    entries = []
    for image_id in (11, 12, 13):
        cv2.imwrite(str(tmp_path / f"{image_id}.png"), rng.integers(0, 255, (40, 60, 3), np.uint8))
        entries.append({"id": image_id, "file_name": f"{image_id}.png", "width": 60, "height": 40})
    person = {
        "id": 1, "image_id": 11, "category_id": 1, "keypoints": [20, 20, 2] * 17,
        "num_keypoints": 17, "area": 400, "bbox": [10, 10, 20, 20], "iscrowd": 0,
    }  # fmt: skip
    document = {"images": entries, "annotations": [person], "categories": [{"id": 1}]}
    (tmp_path / "labels.json").write_text(json.dumps(document))
    return tmp_path


def recipe(folder, ids, sha256=None):
    return CocoCalibration(
        kind="coco",
        description="three",
        labels=folder / "labels.json",
        images=folder,
        ids=ids,
        sha256=sha256,
    )


def test_photographs_come_in_the_order_of_the_ids_preprocessed_as_everywhere(photographs):
    images = list(CalibrationImages(recipe(photographs, [13, 11]), (64, 64)))
    for got, name in zip(images, ("13.png", "11.png"), strict=True):
        expected, _ = preprocess(cv2.imread(str(photographs / name)), (64, 64))
        assert np.array_equal(got, expected)


def test_an_id_that_the_labels_do_not_have_is_named(photographs):
    with pytest.raises(DataError, match="ids: expected images of the file, got 99"):
        list(CalibrationImages(recipe(photographs, [11, 99]), (64, 64)))


def test_another_copy_of_the_photographs_is_refused(photographs):
    contents = b"".join((photographs / f"{i}.png").read_bytes() for i in (11, 12))
    right = recipe(photographs, [11, 12], hashlib.sha256(contents).hexdigest())
    assert len(list(CalibrationImages(right, (64, 64)))) == 2
    (photographs / "12.png").write_bytes((photographs / "13.png").read_bytes())
    with pytest.raises(DataError, match="sha256: expected"):
        list(CalibrationImages(right, (64, 64)))


def test_generated_images_are_the_same_every_time():
    images = CalibrationImages(load_calibration("generated-8"), (64, 96))
    first, again = (next(iter(images)) for _ in range(2))
    assert len(images) == 8
    assert first.shape == (1, 3, 64, 96)
    assert np.array_equal(first, again)


def test_no_images_is_an_error():
    from quantized_network import float_network

    from erpose_edge.quantization.calibrate import calibrate
    from erpose_edge.quantization.prepare import prepare
    from erpose_edge.quantization.recipe import load_policy

    network = prepare(float_network(), load_policy("default"))
    with pytest.raises(ConfigError, match="expected at least one image, got none"):
        calibrate(network, [], observer="minmax", percentile=99.0)
