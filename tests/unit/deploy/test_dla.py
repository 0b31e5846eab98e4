"""Whether a target has DLA is the registry's affair; what to expect is told before the board."""

import pytest

from erpose_edge.deploy.dla import dla_cases, dla_lines, dla_request
from erpose_edge.deploy.profile import load_profile
from erpose_edge.deploy.registry.load import load_registry
from erpose_edge.errors import TargetError
from erpose_edge.exporters.tensorrt.dla.support import dla_support
from erpose_edge.runtime.tensorrt.dla import dla_way


@pytest.mark.parametrize(
    ("module", "version", "jetpack", "available", "how"),
    [
        ("xavier-nx-8gb", "8.5.2", None, "yes", "implicit"),
        ("agx-xavier-32gb", "8.5.2", "5.1.2", "yes", "implicit"),
        ("orin-nx-8gb", "10.3.0", "6.2", "yes", "implicit"),
        ("orin-nx-16gb", "10.7.0", None, "yes", "implicit"),
        ("agx-orin-64gb", "10.8.0", None, "no", None),
        ("agx-orin-64gb", "10.16", "7.2", "no", None),
        ("agx-orin-64gb", "11.0.0", None, "no", None),
        ("agx-orin-64gb", "11.3.1", None, "no", None),
        ("agx-orin-64gb", "11.4.1", "7.2.2", "yes", "explicit"),
        ("agx-orin-64gb", "11.4.1", "7.2", "no", None),
        ("agx-orin-64gb", "11.4.1", None, "unconfirmed", "explicit"),
        ("orin-nx-16gb", "11.4.1", "7.2.2", "unconfirmed", "explicit"),
        ("orin-nano-8gb", "10.3.0", "6.2", "no", None),
        ("orin-nano-8gb", "11.4.1", "7.2.2", "no", None),
        ("thor-t5000", "11.4.1", "7.2.2", "no", None),
        ("tx2", "8.2.1", "4.6", "no", None),
    ],
)
def test_a_module_reaches_dla_with_some_versions(module, version, jetpack, available, how):
    registry = load_registry()
    found = dla_support(registry, registry.module(module), version, jetpack)
    assert (found.available, found.how) == (available, how)
    assert found.reason


def test_the_board_itself_takes_the_versions_that_the_registry_allows():
    registry = load_registry()
    module = registry.module("agx-orin-64gb")
    versions = [f"{major}.{minor}.{patch}" for major, minor in
                [(8, 5), (8, 6), *((10, n) for n in range(17)), *((11, n) for n in range(6))]
                for patch in range(3)]  # fmt: skip
    for version in versions:
        said = dla_support(registry, module, version, "7.2.2")
        assert (said.available != "no") == (dla_way(version).how is not None), version


@pytest.mark.parametrize("name", ["orin-nx", "agx-orin", "xavier-nx", "agx-xavier", "jetson-orin"])
def test_targets_with_dla_say_how_many_changes_they_allow(name):
    allowed = dla_request(load_profile(name)).max_transitions
    assert allowed is not None
    assert allowed > 0
    assert any(case.available == "yes" for case in dla_cases(load_profile(name)))


@pytest.mark.parametrize("name", ["thor", "orin-nano", "tensorrt-x86", "openvino-cpu"])
def test_targets_without_dla_refuse_it(name):
    with pytest.raises(TargetError) as caught:
        dla_request(load_profile(name))
    assert str(caught.value) == (
        f"target {name}: expected one with DLA (a target of Orin NX, AGX Orin or Xavier), got one "
        "without; leave --dla out"
    )


def test_the_words_name_what_stays_on_the_gpu_and_warn_of_too_many_changes():
    document = {
        "layers": {"dla": 8, "gpu": 2},
        "dla_percent_of_macs": 75.0,
        "transitions": 3,
        "max_transitions": 2,
        "gpu": {"a": "why", "b": "why"},
        "weights": {"largest_steps": 0.25, "exact": 3.0, "channels": 4.0},
        "support": [
            {"module": "m", "jetpack": "j", "tensorrt": "10.3.0", "available": "yes",
             "how": "implicit", "reason": "R."},
            {"module": "m", "jetpack": "k", "tensorrt": "10.16", "available": "no", "how": None,
             "reason": "S."},
        ],
    }  # fmt: skip
    assert dla_lines(document) == [
        "DLA, expected by NVIDIA's list of layers: 8 of 10 layers, 75.0 % of the "
        "multiply-accumulates, 3 changes between GPU and DLA; the board's builder decides",
        "  GPU: a, b: why",
        "  weights move by at most 0.25 steps when TensorRT quantizes them itself; 3 of 4 channels "
        "stay as they are",
        "  DLA yes, implicit int8: m with TensorRT 10.3.0: R.",
        "  DLA no: m with TensorRT 10.16: S.",
        "  more than the 2 changes that this target allows: a build on the board would be refused; "
        "leave --dla out",
    ]
