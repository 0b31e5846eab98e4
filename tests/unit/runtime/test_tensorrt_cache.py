"""An engine is used again where everything that it depends on is the same, and only there."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_pose import tiny_manifest

from erpose_edge.runtime.l4t import l4t_release
from erpose_edge.runtime.manifest import InputSpec
from erpose_edge.runtime.tensorrt.cache import (
    cache_entry,
    changed,
    engine_facts,
    facts_key,
)
from erpose_edge.runtime.tensorrt.cuda import GpuFacts

ORIN = GpuFacts("Orin", (8, 7), 8, True, 3 << 30, 8 << 30)
MANIFEST = tiny_manifest("compact", "tensorrt")
ARGUMENTS = {
    "manifest": MANIFEST,
    "onnx_sha256": "a" * 64,
    "tensorrt": "10.3.0.30",
    "gpu": ORIN,
    "flags": ("weak", "FP16"),
    "dla_core": None,
}
# Every part of the key, and another value for it.
OTHERS = {
    "onnx_sha256": {"onnx_sha256": "b" * 64},
    "policy": {"manifest": replace(MANIFEST, policy_sha256="c" * 64)},
    "precision": {"manifest": replace(MANIFEST, precision="fp16")},
    "input": {"manifest": replace(MANIFEST, input=InputSpec("images", (1, 3, 64, 128)))},
    "tensorrt": {"tensorrt": "10.3.0.31"},
    "gpu": {"gpu": replace(ORIN, name="Xavier")},
    "compute_capability": {"gpu": replace(ORIN, compute_capability=(7, 2))},
    "multiprocessors": {"gpu": replace(ORIN, multiprocessors=16)},
    "dla_core": {"dla_core": 0},
    "flags": {"flags": ("weak", "FP16", "INT8")},
}
RELEASE = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"


def board(tmp_path, text=RELEASE):
    (tmp_path / "etc").mkdir(parents=True, exist_ok=True)
    (tmp_path / "etc" / "nv_tegra_release").write_text(text)
    return tmp_path


def store(entry, content=b"engine"):
    entry.folder.mkdir(parents=True, exist_ok=True)
    built = entry.folder / ".built"
    built.write_bytes(content)
    entry.store(built, {"seconds": 1.0})


@given(st.sets(st.sampled_from(sorted(OTHERS))))
def test_any_changed_part_changes_the_key_and_nothing_else_does(parts):
    arguments = dict(ARGUMENTS)
    for part in parts:
        arguments.update(OTHERS[part])
    # Parts of one object replace each other; what is left is still another key.
    same = facts_key(engine_facts(**ARGUMENTS)) == facts_key(engine_facts(**arguments))
    assert same == (not parts)


@given(free=st.integers(0, 1 << 40), total=st.integers(0, 1 << 40))
def test_free_memory_is_no_part_of_the_key(free, total):
    other = replace(ORIN, free_bytes=free, total_bytes=total)
    facts = engine_facts(**{**ARGUMENTS, "gpu": other})
    assert facts == engine_facts(**ARGUMENTS)


def test_another_l4t_changes_the_key(tmp_path):
    facts = [
        engine_facts(**ARGUMENTS, root=board(tmp_path / str(i), text))
        for i, text in enumerate([RELEASE, RELEASE.replace("4.3", "5.0"), RELEASE])
    ]
    assert facts[0]["l4t"] == "36.4"
    assert facts[1]["l4t"] == "36.5"
    assert facts_key(facts[0]) == facts_key(facts[2]) != facts_key(facts[1])


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("# R35 (release), REVISION: 3.1, GCID: 32827747, BOARD: t186ref", "35.3"),
        ("# R38 (release), REVISION: 2.0, GCID: 1", "38.2"),
        ("something  new\n", "something new"),
    ],
)
def test_the_release_of_l4t_is_read(tmp_path, text, release):
    assert l4t_release(board(tmp_path, text)) == release


def test_off_a_jetson_there_is_no_l4t(tmp_path):
    assert l4t_release(tmp_path) == "none"


def test_a_stored_engine_is_found_again(tmp_path):
    entry = cache_entry(tmp_path, MANIFEST, engine_facts(**ARGUMENTS))
    assert "none was built on this device yet" in entry.missing()
    store(entry)
    assert entry.missing() is None
    assert sorted(path.suffix for path in entry.folder.iterdir()) == [".engine", ".json"]
    assert entry.engine.read_bytes() == b"engine"  # nothing is put before it
    assert json.loads(entry.sidecar.read_bytes())["facts"]["gpu"] == "Orin"


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("tensorrt", "TensorRT was 10.3.0.30, is 10.3.0.31"),
        ("gpu", "the GPU was Orin, is Xavier"),
        ("multiprocessors", "the number of multiprocessors was 8, is 16"),
        ("dla_core", "the DLA core was none, is 0"),
        ("flags", "the builder's settings was weak FP16, is weak FP16 INT8"),
        ("onnx_sha256", f"the model was {'a' * 24}..., is {'b' * 24}..."),
    ],
)
def test_a_rebuild_says_in_one_line_what_changed(tmp_path, part, said):
    store(cache_entry(tmp_path, MANIFEST, engine_facts(**ARGUMENTS)))
    changed_facts = engine_facts(**{**ARGUMENTS, **OTHERS[part]})
    line = cache_entry(tmp_path, MANIFEST, changed_facts).missing()
    assert line == f"engine tiny-test-fp32-compact-64x96: {said}: building it anew"


@pytest.mark.parametrize("content", [b"engin", b"enginE", b""])
def test_a_damaged_engine_is_built_anew(tmp_path, content):
    entry = cache_entry(tmp_path, MANIFEST, engine_facts(**ARGUMENTS))
    store(entry)
    entry.engine.write_bytes(content)
    assert entry.missing() == (
        f"engine tiny-test-fp32-compact-64x96: {entry.engine} is damaged: building it anew"
    )


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": 1}', b"\xff"])
def test_a_damaged_side_car_is_no_engine(tmp_path, content):
    entry = cache_entry(tmp_path, MANIFEST, engine_facts(**ARGUMENTS))
    store(entry)
    entry.sidecar.write_bytes(content)
    assert entry.missing() is not None


def test_an_engine_that_was_removed_is_said_to_be(tmp_path):
    entry = cache_entry(tmp_path, MANIFEST, engine_facts(**ARGUMENTS))
    store(entry)
    entry.engine.unlink()
    assert "it was removed" in entry.missing()


def test_timings_are_shared_by_all_engines_of_one_gpu_and_version(tmp_path):
    def timing(**others):
        facts = engine_facts(**{**ARGUMENTS, **others})
        return cache_entry(tmp_path, MANIFEST, facts).timing

    assert timing(onnx_sha256="b" * 64, flags=("strong",)) == timing()
    assert timing(tensorrt="10.4.0") != timing()
    assert timing(gpu=replace(ORIN, multiprocessors=16)) != timing()


@pytest.mark.parametrize("target", ["../../etc", "a/b", "..", "/root", "a\nb"])
def test_a_target_cannot_lead_out_of_the_cache(tmp_path, target):
    entry = cache_entry(tmp_path, replace(MANIFEST, target=target), engine_facts(**ARGUMENTS))
    assert entry.folder.parent == tmp_path
    assert entry.folder.resolve().parent == tmp_path.resolve()


def test_the_cache_of_the_user_is_where_the_system_says(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    entry = cache_entry(None, MANIFEST, engine_facts(**ARGUMENTS))
    assert entry.folder.parent == tmp_path / "erpose-edge" / "engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    entry = cache_entry(None, MANIFEST, engine_facts(**ARGUMENTS))
    assert entry.folder.parent == tmp_path / "home" / ".cache" / "erpose-edge" / "engines"


def test_several_changes_are_all_said():
    before, now = engine_facts(**ARGUMENTS), engine_facts(**{**ARGUMENTS, **OTHERS["gpu"]})
    now["tensorrt"] = "11.4.1"
    assert changed(before, now) == "TensorRT was 10.3.0.30, is 11.4.1; the GPU was Orin, is Xavier"
