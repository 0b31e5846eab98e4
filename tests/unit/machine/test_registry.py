"""Look-ups of the registry, on the bundled facts after a round trip through a bundle's JSON."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.deploy.registry import load_registry
from erpose_edge.errors import ConfigError, TargetError
from erpose_edge.machine.registry import Registry, part_numbers

DOCUMENT = json.loads(json.dumps(load_registry().to_json()))
REGISTRY = Registry.from_json(DOCUMENT)


def names(match):
    return [module.name for module in match.modules]


def test_the_document_holds_everything():
    assert load_registry() == REGISTRY


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("699-13767-0005-300 M.2", "orin-nano-8gb"),
        ("p3767-0004", "orin-nano-4gb"),
        ("P3701-0005", "agx-orin-64gb"),
        ("699-82888-0004-400 A.0", "agx-xavier-32gb"),
        ("699-83310-1000-B02", "tx2"),
        ("p3768-0000", None),  # a carrier
        ("", None),
        ("13767-0005", None),
    ],
)
def test_a_module_is_known_by_its_part_number(text, found):
    module = REGISTRY.module_by_part_number(text)
    assert (module and module.name) == found


@pytest.mark.parametrize(
    ("compatible", "modules", "flash"),
    [
        (
            ["nvidia,p3768-0000+p3767-0005-super", "nvidia,p3767-0005", "nvidia,tegra234"],
            ["orin-nano-8gb"],
            "super",
        ),
        (
            ["nvidia,p3768-0000+p3767-0005", "nvidia,p3767-0005", "nvidia,tegra234"],
            ["orin-nano-8gb"],
            "original",
        ),
        (["somebody,carrier+p3767-0000", "nvidia,tegra234"], ["orin-nx-16gb"], "original"),
        (["nvidia,p3509-0000+p3668-0001", "nvidia,tegra194"], ["xavier-nx-8gb"], "original"),
        (["nvidia,p3971-0089+p3834-0008", "nvidia,tegra264"], ["thor-t5000"], "original"),
        (
            ["nvidia,p3449-0000-b00+p3448-0000-b00", "nvidia,tegra210"],
            ["nano-4gb"],
            "original",
        ),
    ],
)
def test_a_module_is_known_by_its_device_tree(compatible, modules, flash):
    match = REGISTRY.find_module(compatible)
    assert (names(match), match.flash, match.by) == (modules, flash, "device tree")
    assert match.module is not None


def test_one_device_tree_of_agx_xavier_stands_for_every_size_and_the_part_number_decides():
    tree = ["nvidia,p2822-0000+p2888-0001", "nvidia,p2888-0001", "nvidia,tegra194"]
    match = REGISTRY.find_module(tree)
    assert names(match) == ["agx-xavier-16gb", "agx-xavier-32gb", "agx-xavier-64gb"]
    assert match.module is None
    known = REGISTRY.find_module(tree, "699-82888-0004-400 A.0")
    assert (known.module.name, known.by) == ("agx-xavier-32gb", "part number")


def test_with_the_chip_alone_every_module_of_it_fits():
    match = REGISTRY.find_module(["somebody,board", "nvidia,tegra234"])
    assert (match.by, match.module, match.flash) == ("chip", None, None)
    assert {module.generation for module in match.modules} == {"orin"}


@pytest.mark.parametrize("compatible", [[], ["raspberrypi,5-model-b", "brcm,bcm2712"]])
def test_another_board_is_no_jetson(compatible):
    assert REGISTRY.find_module(compatible) is None


@given(st.lists(st.text(max_size=30), max_size=4), st.text(max_size=30))
def test_any_device_tree_can_be_asked_about(compatible, part_number):
    match = REGISTRY.find_module(compatible, part_number)
    assert match is None or match.modules


@given(st.integers(0, 9999), st.integers(0, 9999))
def test_both_ways_to_write_a_part_number_are_one(board, sku):
    wanted = (f"p{board:04d}-{sku:04d}",)
    assert part_numbers(f"699-1{board:04d}-{sku:04d}-300") == wanted
    assert part_numbers(f"nvidia,p{board:04d}-{sku:04d}-super") == wanted


@pytest.mark.parametrize(
    ("l4t", "name"),
    [
        ("32.6.1", "4.6"),
        ("32.7.4", "4.6.1 and later"),
        ("35.4.1", "5.1.1 to 5.1.2"),
        ("35.6.4", "5.1.3 to 5.1.6"),
        ("36.3.0", "6.0"),
        ("36.4.0", "6.1"),
        ("36.4.3", "6.2"),
        ("36.4.7", "6.2.1"),
        ("36.5.0", "6.2.2"),
        ("38.2.1", "7.0"),
        ("38.4.0", "7.1"),
        ("39.0.0", "7.2 EA"),
        ("39.2.0", "7.2"),
        ("39.2.1", "7.2.1"),
        ("40.0", None),
        ("39.3", None),
        ("", None),
    ],
)
def test_jetpack_is_known_by_its_l4t(l4t, name):
    jetpack = REGISTRY.jetpack_of(l4t)
    assert (jetpack and jetpack.name) == name


def test_no_l4t_has_two_releases():
    versions = [f"{a}.{b}.{c}" for a in range(32, 41) for b in range(8) for c in range(8)]
    for version in versions:
        single = [Registry(jetpacks=(j,)).jetpack_of(version) for j in REGISTRY.jetpacks]
        assert sum(found is not None for found in single) <= 1, version


def test_releases_of_a_module_keep_to_its_generation_and_family():
    nx = [j.name for j in REGISTRY.jetpacks_for(REGISTRY.module("orin-nx-16gb"))]
    agx = [j.name for j in REGISTRY.jetpacks_for(REGISTRY.module("agx-orin-64gb"))]
    assert "7.0" not in nx and "4.6" not in nx and "6.2" in nx
    assert set(agx) - set(nx) == {"7.2.2"}  # TensorRT's pages name AGX Orin only


@pytest.mark.parametrize(
    ("flags", "architecture", "name"),
    [
        ({"avx2", "avx512_vnni", "amx_int8"}, "x86_64", "x86-amx"),
        ({"avx2", "avx512_vnni"}, "x86_64", "x86-avx512-vnni"),
        ({"avx2", "avx_vnni"}, "x86_64", "x86-avx-vnni"),
        ({"avx2", "fma"}, "x86_64", "x86-avx2"),
        ({"sse4_2"}, "x86_64", "x86-old"),
        ({"asimd", "asimddp", "i8mm"}, "aarch64", "arm-i8mm"),
        ({"asimd", "asimddp"}, "aarch64", "arm-dotprod"),
        ({"asimd"}, "aarch64", "arm-neon"),
        (set(), "armv7l", "arm-32"),
        ({"asimd"}, "riscv64", None),
    ],
)
def test_a_processor_is_known_by_flags(flags, architecture, name):
    cpu = REGISTRY.cpu_class(flags, architecture)
    assert (cpu and cpu.name) == name


def test_a_board_is_known_by_any_name_of_its_tree():
    assert REGISTRY.board_by_compatible(["x", "brcm,bcm2711"]).name == "raspberry-pi-4"
    assert REGISTRY.board_by_compatible(["brcm,bcm2837"]) is None


def test_an_unknown_name_says_the_known_ones():
    with pytest.raises(TargetError, match=r"^module: expected one of the registry \(nano-2gb, "):
        REGISTRY.module("orin-nano")


def broken(change):
    document = copy.deepcopy(DOCUMENT)
    change(document)
    return document


BROKEN = {
    "registry.json: expected a mapping, got list": list,
    "registry.json: format_version: expected 1, got 2; take the registry of": lambda: broken(
        lambda d: d.update(format_version=2)
    ),
    "registry.json: moduls: unknown key; expected one of boards, cpus,": lambda: broken(
        lambda d: d.update(moduls=[])
    ),
    "registry.json: modules: expected a list, got str": lambda: broken(
        lambda d: d.update(modules="orin")
    ),
    "registry.json: modules.1: expected a mapping, got int": lambda: broken(
        lambda d: d["modules"].__setitem__(1, 3)
    ),
    "registry.json: modules.0.colour: unknown key; expected one of name,": lambda: broken(
        lambda d: d["modules"][0].update(colour="green")
    ),
    "registry.json: modules.0.soc: expected a value, got none; add the key": lambda: broken(
        lambda d: d["modules"][0].pop("soc")
    ),
    "registry.json: rules.0.when.moon: unknown key;": lambda: broken(
        lambda d: d["rules"][0]["when"].update(moon="full")
    ),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_damaged_document_is_one_line_that_names_the_key(message):
    with pytest.raises(ConfigError) as caught:
        Registry.from_json(BROKEN[message]())
    assert str(caught.value).startswith(message)
