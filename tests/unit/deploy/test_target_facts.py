"""Profiles and the registry agree: names, versions, DLA, and the contract that rules ask for."""

from __future__ import annotations

import pytest

from erpose_edge.deploy.profile import list_profiles, load_profile
from erpose_edge.deploy.registry import load_registry
from erpose_edge.deploy.registry.explain import explain
from erpose_edge.errors import ConfigError
from erpose_edge.resources import find_resource

REGISTRY = load_registry()
PROFILES = list_profiles()
JETSONS = [profile for profile in PROFILES if profile.modules]


def outcomes(profile):
    return [case.outcome for case in explain(profile, REGISTRY).cases]


@pytest.mark.parametrize("profile", JETSONS, ids=lambda profile: profile.name)
def test_a_jetson_target_takes_its_facts_from_its_modules(profile):
    modules = [REGISTRY.module(name) for name in profile.modules]
    assert profile.tensorrt.memory_gb == [module.memory_gb for module in modules]
    assert profile.tensorrt.dla_cores == [module.dla_cores for module in modules]
    assert {module.compute_capability for module in modules} == {
        profile.tensorrt.compute_capability
    }


@pytest.mark.parametrize("profile", JETSONS, ids=lambda profile: profile.name)
def test_outputs_are_those_that_every_release_can_build(profile):
    asked = {outcome.contract for outcome in outcomes(profile)} - {""}
    assert asked <= {profile.contract}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_target_is_available_where_some_case_is_served(profile):
    served = any(not outcome.not_served for outcome in outcomes(profile))
    assert served == (profile.status == "available")


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_no_target_tries_what_rules_refuse(profile):
    assert not any(outcome.refused for outcome in outcomes(profile))


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_where_a_rule_prefers_a_precision_the_target_measures_before_it_takes_another(profile):
    for outcome in outcomes(profile):
        if outcome.prefer:
            first = outcome.precisions[0] == outcome.prefer
            assert first or profile.budget.min_speedup_vs_fp32 > 1


@pytest.mark.parametrize("profile", JETSONS, ids=lambda profile: profile.name)
def test_a_number_of_dla_changes_is_given_where_there_is_dla(profile):
    assert (profile.tensorrt.max_dla_transitions is not None) == any(profile.tensorrt.dla_cores)


def test_every_module_board_and_processor_has_a_target():
    for kind, left in (("modules", set()), ("boards", set()), ("cpus", {"arm-32"})):
        named = {name for profile in PROFILES for name in getattr(profile, kind)}
        assert {entry.name for entry in getattr(REGISTRY, kind)} - named == left


def test_targets_that_the_registry_names_exist():
    names = {profile.name for profile in PROFILES}
    assert {mobile.target for mobile in REGISTRY.mobiles if mobile.target} <= names


def test_super_is_another_device_than_the_same_module_flashed_before():
    plain = set(load_profile("orin-nano").device_tree)
    flashed = set(load_profile("orin-nano-super").device_tree)
    assert not plain & flashed
    assert all(name.endswith("-super") for name in flashed)
    assert not any(name.endswith("-super") for name in plain)


def test_super_starts_with_jetpack_6_2():
    assert next(iter(load_profile("orin-nano-super").tensorrt_versions)) == "JetPack 6.2 to 6.2.2"


def test_a_board_is_known_by_the_names_of_the_registry():
    assert load_profile("raspberry-pi5").device_tree == ["raspberrypi,5-model-b", "brcm,bcm2712"]
    assert load_profile("openvino-cpu").device_tree is None
    assert load_profile("jetson-orin").device_tree == ["nvidia,tegra234"]  # as its file says


def own(tmp_path, name, old, new):
    path = tmp_path / "mine.yaml"
    text = find_resource("targets", name).read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_an_unknown_module_is_named(tmp_path):
    path = own(tmp_path, "orin-nx", "orin-nx-8gb", "orin-nx-9gb")
    with pytest.raises(ConfigError, match=r"mine\.yaml: modules: expected names of the registry"):
        load_profile(path)


def test_a_card_needs_a_version(tmp_path):
    path = own(tmp_path, "thor", "modules: [thor-t5000, thor-t4000]", "")
    with pytest.raises(ConfigError, match=r"tensorrt\.versions: expected at least one version"):
        load_profile(path)


def test_a_file_can_say_more_than_its_modules(tmp_path):
    path = own(tmp_path, "thor", "modules:", "tensorrt: {versions: {mine: '10.9'}}\nmodules:")
    facts = load_profile(path).tensorrt
    assert (facts.versions, facts.memory_gb) == ({"mine": "10.9"}, [128, 64])
