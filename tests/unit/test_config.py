import re
from textwrap import dedent

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from erpose_edge.config import RunConfig, config_from_mapping, dump_config, load_config
from erpose_edge.errors import ConfigError
from erpose_edge.resources import list_resources

MINIMAL = """\
network:
  scale: n
data:
  train:
    - {kind: generated, count: 8}
  val: {kind: generated, count: 4}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write text as a.yaml into the current directory and return the name."""
    monkeypatch.chdir(tmp_path)

    def write(text):
        (tmp_path / "a.yaml").write_text(dedent(text), encoding="utf-8")
        return "a.yaml"

    return write


def refused(cfg, *overrides):
    with pytest.raises(ConfigError) as caught:
        load_config(cfg, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", list_resources("configs"))
def test_every_bundled_config_loads_and_survives_a_dump(name, write):
    config = load_config(name)
    assert load_config(write(dump_config(config))) == config
    assert config_from_mapping(config.model_dump(mode="json"), "weights") == config


@pytest.mark.parametrize("scale", ["n", "s", "m", "l", "x"])
def test_a_bundled_config_is_of_the_scale_it_is_named_for(scale):
    assert load_config(scale).network.scale == scale


def test_the_scales_differ_in_nothing_else():
    plain = {load_config(s, ["network.scale=n"]).model_dump_json() for s in "nsmlx"}
    assert len(plain) == 1


def test_a_full_config_spells_out_the_defaults(write):
    spelled = load_config("n")
    default = load_config(write(MINIMAL))
    for section in ("training", "qat", "export", "network"):
        assert getattr(spelled, section) == getattr(default, section)
    assert spelled.data.augmentation == default.data.augmentation


def test_what_is_left_out_has_a_default(write):
    config = load_config(write(MINIMAL))
    assert config.network.activation == "relu"
    assert config.network.input_size == (640, 640)
    assert config.data.train[0].weight == 1.0


def test_a_config_cannot_be_changed_afterwards(write):
    config = load_config(write(MINIMAL))
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3


# What is written, and the line and message it gives.
MISTAKES = {
    "training: {epoch: 3}": "7: training.epoch: unknown key; did you mean 'epochs'?",
    "training: {zzz: 3}": "7: training.zzz: unknown key; expected one of input_size, epochs, ",
    "traning: {epochs: 3}": "7: traning: unknown key; did you mean 'training'?",
    "training:\n  epochs: ten": "8: training.epochs: expected an integer, got 'ten'",
    "training: {epochs: 1.5}": "7: training.epochs: expected an integer, got 1.5",
    "training: {epochs: true}": "7: training.epochs: expected an integer, got True",
    "training: {epochs: 0}": "7: training.epochs: expected a number >= 1, got 0",
    "training: {epochs: null}": "7: training.epochs: expected an integer, got nothing",
    "training: {ema_decay: 1}": "7: training.ema_decay: expected a number < 1.0, got 1",
    "training: {learning_rate: 0}": "7: training.learning_rate: expected a number > 0.0, got 0",
    "training: {learning_rate: .nan}": "training.learning_rate: expected a finite number, got nan",
    "training: {precision: int8}": "expected 'auto', 'fp32', 'bf16' or 'fp16', got 'int8'",
    "training: {init: ''}": "7: training.init: expected a path, got ''",
    "training: 3": "7: training: expected a mapping of settings, got 3",
    "training: {input_size: 320}": "7: training.input_size: expected a list, got 320",
    "training: {input_size: [320]}": "training.input_size.1: expected a value, got none; add the",
    "training:\n  input_size:\n    - 320\n    - 321": (
        "10: training.input_size.1: expected a multiple of 32, got 321"
    ),
    "training: {input_size: [32, 64]}": "training.input_size.0: expected a number >= 64, got 32",
    "training: {input_size: [64, 4096]}": "input_size.1: expected a number <= 2048, got 4096",
    "export: {contract: dense}": "export.contract: expected 'raw', 'decoded' or 'compact', got",
    "qat: {observer: max}": "qat.observer: expected 'minmax', 'percentile' or 'mse', got 'max'",
    "qat: {policy: 3}": "7: qat.policy: expected text, got 3",
    "skeleton: crowdpose-14": (
        "5: data.train.0.kind: expected crowdpose, which crowdpose-14 needs, got 'generated'"
    ),
    "seed: 1\nseed: 2": "8: seed: expected once, got it again (first on line 7); delete one",
    "seed: [1": "8: expected YAML, got a mistake: expected ',' or ']'",
}


@pytest.mark.parametrize(("text", "expected"), MISTAKES.items())
def test_a_mistake_names_file_line_and_key(write, text, expected):
    message = refused(write(MINIMAL + text + "\n"))
    assert message.startswith("a.yaml:")
    assert expected in message


DATA_MISTAKES = {
    "{kind: voc, count: 1}": "data.train.0.kind: expected 'coco', 'crowdpose', 'generated', got",
    "{count: 1}": "data.train.0.kind: expected a value, got none; add the key",
    "{kind: coco, labels: a.json}": "data.train.0.images: expected a value, got none; add the key",
    "{kind: coco, labels: a, image: b}": "data.train.0.image: unknown key; did you mean 'images'?",
    "{kind: generated, count: 1, labels: a}": (
        "data.train.0.labels: unknown key; expected one of kind, count, seed, size, weight"
    ),
    "{kind: generated, count: 1, weight: 0}": "data.train.0.weight: expected a number > 0.0, got 0",
}


@pytest.mark.parametrize(("source", "expected"), DATA_MISTAKES.items())
def test_a_mistake_in_a_data_source_names_only_keys_of_the_file(write, source, expected):
    message = refused(write(MINIMAL.replace("{kind: generated, count: 8}", source)))
    assert message.startswith("a.yaml:5: " + expected)


def test_several_mistakes_are_counted_and_the_unknown_key_comes_first(write):
    message = refused(write(MINIMAL.replace("scale", "scal") + "seed: x\n"))
    assert message == "a.yaml:2: network.scal: unknown key; did you mean 'scale'? (and 2 more)"


def test_augmentation_scale_is_a_range(write):
    message = refused(write(MINIMAL), "data.augmentation.scale=[2, 1]")
    assert message.endswith("scale: expected [smallest, largest], got [2.0, 1.0]")


@pytest.mark.parametrize("value", ["2001-99-99", "[" * 2000, "\x00", "{[a]: b}"])
def test_what_yaml_itself_chokes_on_is_a_mistake_of_the_file(write, value):
    assert re.match(r"a\.yaml(:7)?: expected ", refused(write(f"{MINIMAL}seed: {value}\n")))


@pytest.mark.parametrize(("text", "got"), [("", "nothing"), ("- 1", "[1]"), ("n", "'n'")])
def test_a_file_that_holds_no_mapping_is_refused(write, text, got):
    assert refused(write(text)) == f"a.yaml: expected a mapping of settings, got {got}"


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert refused(path) == f"{path}: expected UTF-8 text, got bytes that are not"


def test_a_tag_that_would_build_an_object_is_refused(write):
    message = refused(write(MINIMAL + "seed: !!python/object/apply:os.getpid []\n"))
    assert "a.yaml:7: expected YAML, got a mistake: could not determine a constructor" in message


def test_a_missing_file_lists_the_bundled_configs():
    names = ", ".join(list_resources("configs"))
    expected = f"config: expected a file, or a bundled name ({names}), got 'q.yaml'"
    assert refused("q.yaml").startswith(expected)


def test_an_exponent_without_a_point_is_a_number(write):
    assert load_config(write(MINIMAL), ["qat.learning_rate=1e-5"]).qat.learning_rate == 1e-5


def test_overrides_reach_sections_lists_and_what_the_file_left_out(write):
    overrides = ["seed=7", "data.train.0.count=3", "training.loss.pose=2.5", "training.init=w.st"]
    config = load_config(write(MINIMAL), overrides)
    assert (config.seed, config.data.train[0].count, config.training.loss.pose) == (7, 3, 2.5)
    assert str(config.training.init) == "w.st"


def test_the_last_of_two_overrides_counts(write):
    assert load_config(write(MINIMAL), ["seed=1", "seed=2"]).seed == 2


OVERRIDE_MISTAKES = {
    "training.epoch=3": "training.epoch: unknown key; did you mean 'epochs'?",
    "training.epochs=ten": "training.epochs: expected an integer, got 'ten'",
    "training": "expected key.key=value, got 'training'",
    "training..epochs=3": "expected key.key=value, got 'training..epochs=3'",
    "=3": "expected key.key=value, got '=3'",
    "network.scale.x=1": "expected a key of a section, but network.scale is 'n'",
    "data.train.1.count=1": "data.train: expected an index below 1, got 1",
    "data.train.first.count=1": "data.train: expected an index below 1, got 'first'",
    "network=null": "network: expected a mapping of settings, got nothing",
}


@pytest.mark.parametrize(("override", "expected"), OVERRIDE_MISTAKES.items())
def test_a_mistake_in_an_override_names_the_override(write, override, expected):
    assert refused(write(MINIMAL), override) == f"--set {override}: {expected}"


def test_an_override_that_is_no_yaml_names_the_override(write):
    message = refused(write(MINIMAL), "seed=[1")
    assert message.startswith("--set seed=[1:1: expected YAML, got a mistake")


@pytest.mark.parametrize("values", [None, [], "text"])
def test_a_config_that_is_no_mapping_is_refused(values):
    with pytest.raises(ConfigError, match=r"^w\.safetensors: expected a mapping of settings, got"):
        config_from_mapping(values, "w.safetensors")


def test_a_mapping_without_lines_still_names_its_source(write):
    values = load_config(write(MINIMAL)).model_dump(mode="json")
    values["seed"] = "x"
    expected = re.escape("w.safetensors: seed: expected an integer, got 'x'")
    with pytest.raises(ConfigError, match=f"^{expected}$"):
        config_from_mapping(values, "w.safetensors")


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(ConfigError):
        load_config(path)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(list(RunConfig.model_fields)), plain)
def test_no_value_breaks_the_messages(tmp_path_factory, key, value):
    values = yaml.safe_load(MINIMAL) | {key: value}
    path = tmp_path_factory.getbasetemp() / "value.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    try:
        config = load_config(path)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert config_from_mapping(config.model_dump(mode="json"), "again") == config


def test_a_run_goes_on_with_another_number_of_workers_but_with_nothing_else_changed():
    config = load_config("tiny")
    assert load_config("tiny", ["data.workers=7"]).fingerprint() == config.fingerprint()
    assert load_config("tiny", ["seed=1"]).fingerprint() != config.fingerprint()


def test_a_network_without_a_one_to_one_branch_is_deployed_with_nms():
    assert load_config("n").nms is None
    assert load_config("n", ["network.one_to_one=false"]).nms == 0.65
    assert load_config("n", ["network.one_to_one=false", "export.nms=0.5"]).nms == 0.5


@pytest.mark.parametrize("value", ["0", "1.1", "null"])
def test_suppression_needs_a_fraction(value):
    assert "export.nms: expected" in refused("n", f"export.nms={value}")


def test_the_baseline_undone_switch_by_switch_is_the_network_itself():
    back = ["network.boxes=false", "network.one_to_one=true", "training.assignment.metric=oks",
            "training.loss.smooth=0.3"]  # fmt: skip
    assert load_config("n-yolo-pose", back) == load_config("n")
    assert load_config("n-yolo-pose", back[1:]) != load_config("n")
