"""What the profiles of NVIDIA's devices promise together."""

import pytest

from erpose_edge.deploy.profile import list_profiles, load_profile

NVIDIA = [profile for profile in list_profiles() if profile.engine == "tensorrt"]
NAMES = {
    "agx-orin", "agx-xavier", "jetson-nano", "jetson-orin", "jetson-tx2", "orin-nano",
    "orin-nano-super", "orin-nx", "tensorrt-x86", "thor", "xavier-nx",
}  # fmt: skip
SERVED = [profile for profile in NVIDIA if profile.status == "available"]
MODULES = ("orin-nano", "orin-nano-super", "orin-nx", "agx-orin", "xavier-nx", "agx-xavier", "thor")


def version(text):
    return tuple(int(part) for part in text.split("."))


def test_every_device_has_a_profile():
    assert {profile.name for profile in NVIDIA} == NAMES


@pytest.mark.parametrize("profile", SERVED, ids=lambda profile: profile.name)
def test_versions_go_from_old_to_new_and_begin_at_8_5(profile):
    versions = [version(text) for text in profile.tensorrt_versions.values()]
    assert versions == sorted(versions)
    assert versions[0] >= (8, 5)


@pytest.mark.parametrize("profile", SERVED, ids=lambda profile: profile.name)
def test_int8_in_the_graph_end_to_end_is_left_out_where_it_was_reported_not_to_build(profile):
    """TensorRT 10.3, the one of JetPack 6.1 and 6.2."""
    has_it = any(version(text)[:2] == (10, 3) for text in profile.tensorrt_versions.values())
    jetson = profile.device_tree is not None
    assert profile.contract == ("decoded" if has_it and jetson else "compact")


@pytest.mark.parametrize("name", MODULES)
def test_a_board_is_known_by_its_device_tree(name):
    profile = load_profile(name)
    assert profile.device_tree
    assert all(entry.startswith("nvidia,") for entry in profile.device_tree)


def test_xavier_never_leaves_the_tensorrt_of_jetpack_5():
    for name in ("xavier-nx", "agx-xavier"):
        assert list(load_profile(name).tensorrt_versions.values()) == ["8.5.2"]


def test_thor_tries_half_precision_before_int8():
    precisions = load_profile("thor").precisions
    assert precisions.index("fp16") < precisions.index("int8")
    assert load_profile("agx-orin").precisions[0] == "int8"


@pytest.mark.parametrize("profile", NVIDIA, ids=lambda profile: profile.name)
def test_every_variant_has_its_memory_and_its_dla_cores(profile):
    facts = profile.tensorrt
    assert len(facts.memory_gb) == len(facts.dla_cores)


def test_other_engines_have_no_tensorrt():
    assert load_profile("openvino-cpu").tensorrt_versions == {}
