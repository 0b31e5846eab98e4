import pytest

from erpose_edge.errors import ConfigError
from erpose_edge.quantization.recipe import (
    CocoCalibration,
    GeneratedCalibration,
    Policy,
    fingerprint,
    load_calibration,
    load_policy,
)
from erpose_edge.resources import list_resources

POLICIES = [name for name in list_resources("calibration") if name.startswith("policies/")]
SETS = [name for name in list_resources("calibration") if name not in POLICIES]


@pytest.mark.parametrize("name", SETS)
def test_every_bundled_calibration_set_loads(name):
    assert isinstance(load_calibration(name), GeneratedCalibration | CocoCalibration)


@pytest.mark.parametrize("name", POLICIES)
def test_every_bundled_policy_loads_and_knows_every_engine(name):
    assert set(load_policy(name).dialects) == {"openvino", "onnxruntime", "tensorrt", "tflite"}


def test_a_policy_is_found_without_its_folder():
    assert load_policy("default") == load_policy("policies/default")


@pytest.mark.parametrize(
    "module", ["backbone.stem", "backbone.stem.conv", "head.scores.0", "head.visibility.2"]
)
def test_the_default_policy_keeps_stem_and_head_outputs_float(module):
    assert load_policy("default").is_float(module)


@pytest.mark.parametrize(
    "module", ["backbone.stage1", "backbone.stem2", "head.score_tower.0.conv", "neck.top.conv"]
)
def test_the_default_policy_quantizes_the_rest(module):
    assert not load_policy("default").is_float(module)


def test_narrow_weights_differ_from_the_default_in_their_bits():
    default, narrow = load_policy("default"), load_policy("narrow-weights")
    assert (default.weights.bits, default.weights.bits_where_signed) == (8, 7)
    assert (narrow.weights.bits, narrow.weights.bits_where_signed) == (7, 7)
    assert default.keep_float == narrow.keep_float


def test_a_fingerprint_is_of_what_is_said_and_not_of_how(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "{seed: 500000, count: 8, size: [128, 128], kind: generated,\n"
        " description: 8 small scenes of generated people}  # another order\n"
    )
    bundled = load_calibration("generated-8")
    assert fingerprint(load_calibration(path)) == fingerprint(bundled)
    assert fingerprint(bundled.model_copy(update={"seed": 1})) != fingerprint(bundled)


MISTAKES = {
    "kind: voc\n": "mine.yaml:1: kind: expected 'generated', 'coco', got 'voc'",
    "kind: generated\ncounts: 3\n": "mine.yaml:2: counts: unknown key; did you mean 'count'?",
    "description: x\n": "mine.yaml: kind: expected a value, got none; add the key",
    (
        "kind: coco\ndescription: x\nlabels: a\nimages: b\nids: []\n"
    ): "mine.yaml:5: ids: expected at least 1 items, got []",
}


@pytest.mark.parametrize(("text", "expected"), MISTAKES.items())
def test_a_mistake_in_a_set_names_file_line_and_key(tmp_path, monkeypatch, text, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_calibration("mine.yaml")
    assert str(caught.value).startswith(expected)


def test_weights_of_six_bits_are_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("weights: {bits: 6}\ndescription: x\nkeep_float: []\ndialects: {}\n")
    with pytest.raises(ConfigError, match=r"yaml:1: weights\.bits: expected a number >= 7, got 6"):
        load_policy(path)


def test_activations_have_8_bits_and_no_choice(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("activations: {bits: 7}\ndescription: x\nkeep_float: []\ndialects: {}\n")
    with pytest.raises(ConfigError, match=r"yaml:1: activations\.bits: expected 8, got 7"):
        load_policy(path)


def test_a_pattern_covers_what_is_inside_the_module_it_names():
    policy = Policy(description="x", keep_float=["a.*.out"], dialects={})
    assert policy.is_float("a.1.out")
    assert policy.is_float("a.1.out.conv")
    assert not policy.is_float("a.1")
