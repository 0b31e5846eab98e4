"""The files of facts: checked against their classes, with mistakes that name file, line and key."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from erpose_edge.deploy.registry import load_registry
from erpose_edge.deploy.registry.check import facts
from erpose_edge.errors import ConfigError
from erpose_edge.machine.rules import When
from erpose_edge.resources import find_resource, list_resources

FACTS = find_resource("facts", "modules").parent
REGISTRY = load_registry()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    shutil.copytree(FACTS, tmp_path / "facts")
    monkeypatch.chdir(tmp_path)
    return Path("facts")


def test_the_bundled_files_are_those_of_the_registry():
    assert list_resources("facts") == sorted(
        ["boards", "cpus", "jetpacks", "mobiles", "modules", "rules", "sources"]
    )
    assert not [name for name in list_resources("targets") if "/" in name]


# What is done to a file, and the beginning of the one line that it gives.
MISTAKES = {
    "unknown key": (
        "modules.yaml", "    soc: tegra210\n", "    sock: tegra210\n",
        r"facts/modules\.yaml:\d+: modules\.0\.sock: unknown key; did you mean 'soc'\?",
    ),
    "unknown key of a rule": (
        "rules.yaml", "when: {engine: [tensorrt], tensorrt:", "when: {engin: [tensorrt], tensorrt:",
        r"facts/rules\.yaml:\d+: rules\.0\.when\.engin: unknown key; did you mean 'engine'\?",
    ),
    "wrong type": (
        "modules.yaml", "cuda_cores: 128", "cuda_cores: many",
        r"facts/modules\.yaml:\d+: modules\.0\.cuda_cores: expected .* integer, .*got 'many'",
    ),
    "version as a number": (
        "modules.yaml", 'compute_capability: "5.3"', "compute_capability: 5.3",
        r"facts/modules\.yaml:\d+: modules\.0\.compute_capability: expected text, got 5\.3",
    ),
    "missing key": (
        "modules.yaml", "    soc: tegra210\n", "",
        r"facts/modules\.yaml:\d+: modules\.0\.soc: expected a value, got none; add the key",
    ),
    "unknown generation": (
        "modules.yaml", "generation: nano", "generation: pico",
        r"facts/modules\.yaml:\d+: modules\.0\.generation: expected 'nano', .*, got 'pico'",
    ),
    "no YAML": (
        "cpus.yaml", "cpus:", "cpus: [",
        r"facts/cpus\.yaml:\d+: expected YAML, got a mistake: ",
    ),
    "a key twice": (
        "boards.yaml", "    soc: bcm2711\n", "    soc: bcm2711\n    soc: bcm2712\n",
        r"facts/boards\.yaml:\d+: soc: expected once, got it again",
    ),
    "a name twice": (
        "cpus.yaml", "name: arm-32", "name: arm-neon",
        r"facts/cpus\.yaml: cpus: expected every name once, got 'arm-neon' twice",
    ),
    "a fact without a source": (
        "boards.yaml", "[soc, cpu_max_mhz, memory]", "[soc, memory]",
        r"facts/boards\.yaml: boards\.raspberry-pi-4\.cpu_max_mhz: expected a source, got none; "
        r"name the field under one of sources, or under unverified",
    ),
    "a nested fact without a source": (
        "modules.yaml", "      nano-modes: [original.power_modes]\n", "",
        r"facts/modules\.yaml: modules\.nano-4gb\.original\.power_modes: expected a source",
    ),
    "a source that does not exist": (
        "boards.yaml", "ultralytics-pi: [soc", "ultralytics-pie: [soc",
        r"facts/boards\.yaml: boards\.raspberry-pi-4\.sources: expected a known name, got "
        r"'ultralytics-pie'; did you mean 'ultralytics-pi'\?",
    ),
    "unverified without a value": (
        "boards.yaml", "[compatible, cpu, cores]", "[compatible, cpu, core]",
        r"facts/boards\.yaml: boards\.raspberry-pi-4\.unverified: expected fields that have a "
        r"value, got 'core'",
    ),
    "verified and not": (
        "boards.yaml", "unverified: [compatible, cpu, cores]",
        "unverified: [compatible, cpu, cores, soc]",
        r"facts/boards\.yaml: boards\.raspberry-pi-4: expected 'soc' under sources or under "
        r"unverified, got both",
    ),
    "a processor that does not exist": (
        "boards.yaml", "cpu: arm-neon", "cpu: arm-neo",
        r"facts/boards\.yaml: boards\.raspberry-pi-4\.cpu: expected a known name, got 'arm-neo'",
    ),
    "a range that is none": (
        "rules.yaml", 'tensorrt: "<8.5"', 'tensorrt: "8.5"',
        r"facts/rules\.yaml: rules\.tensorrt-before-8\.5\.when\.tensorrt: version range: expected",
    ),
    "an L4T that is none": (
        "jetpacks.yaml", 'l4t: "==32.6.1"', 'l4t: "32.6.1"',
        r"facts/jetpacks\.yaml: jetpacks\.4\.6\.l4t: version range: expected conditions",
    ),
    "a family that does not exist": (
        "rules.yaml", "family: [orin-nx], tensorrt", "family: [orin-mx], tensorrt",
        r"facts/rules\.yaml: rules\..*\.when\.family: expected a known name, got 'orin-mx'",
    ),
    "a rule without an effect": (
        "rules.yaml", 'effect: {dla: "no"}', "effect: {}",
        r"facts/rules\.yaml: rules\.thor-has-no-dla\.effect: expected at least one effect",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_that_names_the_place(folder, case):
    name, old, new, message = MISTAKES[case]
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_registry(folder)
    assert "\n" not in str(caught.value)
    caught.match(f"^{message}")


def test_a_missing_file_is_named(folder):
    (folder / "mobiles.yaml").unlink()
    with pytest.raises(ConfigError, match=r"^facts/mobiles\.yaml: expected a readable file"):
        load_registry(folder)


KINDS = ("modules", "jetpacks", "cpus", "boards", "mobiles")
ENTRIES = [entry for kind in KINDS for entry in getattr(REGISTRY, kind)]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_fact_has_a_source_or_is_marked(entry):
    sourced = {field for fields in entry.sources.values() for field in fields}
    assert {name for name, _ in facts(entry)} == sourced | set(entry.unverified)


def test_every_source_is_used():
    used = {name for entry in ENTRIES for name in entry.sources}
    assert {source.name for source in REGISTRY.sources} == used


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("orin-nano-4gb", {"cuda_cores", "original.bandwidth_gbs", "super.int8_tops"}),
        ("orin-nx-16gb", {"super.int8_tops", "super.compatible"}),
        ("xavier-nx-8gb", {"sparsity", "original.power_modes"}),
        ("agx-xavier-32gb", {"original.power_modes"}),
        ("tx2", {"fp16_gflops", "original.bandwidth_gbs"}),
    ],
)
def test_what_nobody_looked_up_stays_marked(name, fields):
    assert fields <= set(REGISTRY.module(name).unverified)


def test_no_tops_are_said_where_none_were_found():
    for name in ("thor-t5000", "nano-4gb", "tx2"):
        assert REGISTRY.module(name).original.int8_tops is None


def test_modules_of_a_family_agree_on_what_rules_ask():
    for module in REGISTRY.modules:
        first = REGISTRY.modules_of(module.family)[0]
        assert (module.generation, module.soc) == (first.generation, first.soc)
        assert module.dla_cores == 0 or module.dla_precisions
        no_dla = When(family=("orin-nano", "nano", "tx2", "thor"))
        assert (module.family in no_dla.family) == (module.dla_cores == 0)


def test_no_part_number_belongs_to_two_modules():
    numbers = [number for module in REGISTRY.modules for number in module.part_numbers]
    assert len(numbers) == len(set(numbers))


def test_tops_of_a_mode_add_up_to_those_of_the_module():
    module = REGISTRY.module("agx-orin-64gb")
    maxn = module.original.power_modes[0]
    total = maxn.gpu_int8_tops + maxn.dla_int8_tops
    assert total == pytest.approx(module.original.int8_tops, abs=1)  # TOPS, published rounded
