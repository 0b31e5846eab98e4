from dataclasses import replace

import numpy as np
import pytest
import torch
from own_answers import SIZE, own_answers, small_quantized_network

from erpose_edge.errors import DataError, IntegrityError, RequestError
from erpose_edge.quantization.fake_quantize import quantized_convolutions
from erpose_edge.quantization.sensitivity.measure import (
    PoseSettings,
    measure_choice,
    measure_sensitivity,
    samples_digest,
)
from erpose_edge.quantization.sensitivity.plot import plot_sensitivity
from erpose_edge.quantization.sensitivity.policy_search import search_policy
from erpose_edge.quantization.sensitivity.state import SensitivityState
from erpose_edge.quantization.sensitivity.variants import Variants
from erpose_edge.skeleton import COCO_17

SETTINGS = PoseSettings(SIZE, COCO_17, max_poses=3)
SABOTAGED = "head.pose_tower.1.0.conv"


@pytest.fixture(scope="module")
def network():
    network = small_quantized_network(per_channel=False)
    conv = quantized_convolutions(network)[SABOTAGED]
    with torch.no_grad():  # one channel, always 0 after ReLU, takes the weights' only scale
        conv.weight[0] *= 300
        conv.bias[0] = -1e4
    return network


@pytest.fixture(scope="module")
def samples(network):
    return own_answers(network, 3)


def measured(network, samples, folder, *, resume=False, **options):
    state = SensitivityState(folder, {"data": samples_digest(samples)}, resume=resume)
    return measure_sensitivity(network, samples, SETTINGS, state, **options)


@pytest.fixture(scope="module")
def result(network, samples, tmp_path_factory):
    return measured(network, samples, tmp_path_factory.mktemp("whole"), reverse=True)


def test_the_sabotaged_layer_comes_first(result):
    worst = result.ranked()[0]
    assert worst.layer == SABOTAGED
    others = [row.alone.oks_loss for row in result.layers if row.layer != SABOTAGED]
    assert worst.alone.oks_loss > 3 * max(others)
    assert worst.alone.ap_change < 0
    assert worst.alone.snr_db["keypoints"] == min(
        row.alone.snr_db["keypoints"] or np.inf for row in result.layers
    )


def test_only_without_the_sabotaged_layer_the_rest_is_good(result):
    losses = {row.layer: row.without.oks_loss for row in result.layers}
    assert min(losses, key=losses.get) == SABOTAGED
    assert losses[SABOTAGED] < 0.5 * sorted(losses.values())[1]


def test_the_search_makes_exactly_the_sabotaged_layer_float(network, samples, result):
    variants = Variants(network)

    def retention(int8):
        return measure_choice(variants, int8, samples, SETTINGS).ap / result.reference.ap

    losses = {row.layer: row.alone.oks_loss for row in result.layers}
    without = retention([layer for layer in variants.layers if layer != SABOTAGED])
    assert retention(variants.layers) < without
    search = search_policy(losses, retention, without)
    assert search.found is not None
    assert search.found.keep_float == (SABOTAGED,)


def test_labels_that_are_the_float_networks_own_answers_give_it_an_ap_of_one(result):
    assert result.reference.ap == pytest.approx(1)
    assert result.int8.ap < 1
    assert result.int8.ap_change == pytest.approx(result.int8.ap - 1)


def test_ap_of_a_choice_is_that_of_an_estimator_of_the_same_network(network, samples, result):
    variants = Variants(network)
    assert measure_choice(variants, variants.layers, samples, SETTINGS).ap == result.int8.ap
    assert measure_choice(variants, [SABOTAGED], samples, SETTINGS).ap == pytest.approx(
        result.ranked()[0].alone.ap
    )


class Killed(BaseException):
    pass


def test_a_run_that_was_killed_and_goes_on_gives_the_same_table(network, samples, result, tmp_path):
    layers = len(result.layers)

    def kill(done, _):
        if done > 2 * layers + 2 + layers:  # in the middle of the second image
            raise Killed

    with pytest.raises(Killed):
        measured(network, samples, tmp_path, reverse=True, progress=kill)
    assert [path.name for path in sorted(tmp_path.glob("*.npz"))] == ["0000000.npz"]
    seen = []
    again = measured(
        network, samples, tmp_path, resume=True, reverse=True, progress=lambda *at: seen.append(at)
    )
    assert again.to_json() == result.to_json()
    assert seen[0] == (2 * layers + 2, 3 * (2 * layers + 2))  # the first image at once
    assert seen[-1][0] == seen[-1][1]


def test_measurements_are_not_mixed_with_those_of_another_request(network, samples, tmp_path):
    measured(network, samples[:1], tmp_path)
    with pytest.raises(RequestError, match="expected an empty folder, got one with measurements"):
        measured(network, samples[:1], tmp_path)
    with pytest.raises(
        IntegrityError, match=r"data: expected \w+, with which the run was begun, got \w+; ask for"
    ):
        measured(network, samples[:2], tmp_path, resume=True)


def test_damaged_measurements_are_refused(network, samples, tmp_path):
    measured(network, samples[:1], tmp_path)
    record = tmp_path / "0000000.npz"
    record.write_bytes(record.read_bytes()[:100])
    with pytest.raises(IntegrityError, match="expected measurements of an image, got a damaged"):
        measured(network, samples[:1], tmp_path, resume=True)


def test_an_image_that_cannot_be_read_is_listed_and_left_out(network, samples, tmp_path):
    missing = (tmp_path / "missing.jpg", replace(samples[0][1], image_id=99))
    found = measured(network, [missing, samples[0]], tmp_path / "some")
    assert found.reference.images == 1
    assert [entry.entry for entry in found.rejected] == ["image 99"]
    with pytest.raises(DataError, match="expected at least one usable image, got none of 1"):
        measured(network, [missing], tmp_path / "none")


def test_the_digest_follows_images_and_labels(samples, tmp_path):
    image, labels = samples[0]
    digest = samples_digest([(image, labels)])
    assert digest == samples_digest([(image.copy(), labels)])
    assert digest != samples_digest([(255 - image, labels)])
    assert digest != samples_digest([(image, replace(labels, keypoints=labels.keypoints + 1))])
    file = tmp_path / "a.jpg"
    file.write_bytes(b"12")
    of_file = samples_digest([(file, labels)])
    file.write_bytes(b"123")
    assert samples_digest([(file, labels)]) != of_file


def test_the_plot_is_a_png(result, tmp_path):
    plot_sensitivity(result, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]
