import pytest

from erpose_edge.deploy.profile import list_profiles, load_profile, require_available
from erpose_edge.deploy.registry import load_registry
from erpose_edge.deploy.registry.explain import explain
from erpose_edge.errors import ConfigError, TargetError
from erpose_edge.resources import list_resources


@pytest.mark.parametrize("name", list_resources("targets"))
def test_every_bundled_profile_is_named_as_its_file(name):
    assert load_profile(name).name == name


@pytest.mark.parametrize("profile", list_profiles(), ids=lambda profile: profile.name)
def test_every_profile_has_rules_with_their_sources(profile):
    """Its own, or those of the registry that hold for it."""
    assert profile.rules or explain(profile, load_registry()).rules
    assert all(rule.source for rule in profile.rules)


@pytest.mark.parametrize("name", ["openvino-cpu", "onnxruntime-cpu"])
def test_the_cpu_targets_are_available_and_fall_back_to_fp32(name):
    profile = load_profile(name)
    require_available(profile)
    assert profile.precisions[-1] == "fp32"
    assert profile.budget.min_retention == 0.99


def test_a_planned_target_is_refused_with_the_way_out():
    planned = load_profile("jetson-orin").model_copy(update={"status": "planned"})
    with pytest.raises(TargetError) as caught:
        require_available(planned)
    message = str(caught.value)
    assert message.startswith("target jetson-orin: expected a target that this version serves (")
    assert "openvino-cpu" in message
    assert "got one that is planned; `erpose-edge export`" in message
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("name", ["jetson-nano", "jetson-tx2"])
def test_a_board_that_is_not_served_says_why_and_the_way_out(name):
    with pytest.raises(TargetError) as caught:
        require_available(load_profile(name))
    assert "got one that is planned; the module stops at JetPack 4" in str(caught.value)
    assert "export fp16 for jetson-orin with --contract raw" in str(caught.value)


def test_an_unknown_target_is_a_target_error():
    with pytest.raises(TargetError, match="did you mean 'jetson-orin'"):
        load_profile("jetson-orion")


def test_a_mistake_in_a_profile_names_file_line_and_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("name: mine\nbudget: {min_retenton: 0.9}\n")
    with pytest.raises(ConfigError, match=r"^mine\.yaml:2: budget\.min_retenton: unknown key; did"):
        load_profile("mine.yaml")
