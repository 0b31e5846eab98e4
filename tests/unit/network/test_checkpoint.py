"""Weights files: what is written comes back, and damage is told from misuse."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from erpose_edge.config import NetworkConfig
from erpose_edge.errors import IntegrityError, RequestError, WeightsError
from erpose_edge.network.checkpoint import (
    FORMAT,
    Weights,
    fill_network,
    load_weights,
    network_of,
    read_header,
    save_weights,
)
from erpose_edge.network.pose_network import ERPose

CONFIG = {
    "skeleton": "coco-17",
    "network": {"scale": "n", "activation": "relu", "input_size": [64, 96]},
}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return ERPose(NetworkConfig(scale="n"), 17).eval()


def weights_of(network, **changes):
    config = json.loads(json.dumps(CONFIG))
    config["network"]["scale"] = network.config.scale
    config["network"]["activation"] = network.config.activation
    values = {"kind": "float", "config": config, "details": {"ap": 0.5}} | changes
    return Weights(network.state_dict(), **values)


@pytest.fixture
def path(network, tmp_path):
    path = tmp_path / "new" / "weights.safetensors"
    save_weights(path, weights_of(network))
    return path


@pytest.fixture(scope="module")
def small_file(tmp_path_factory):
    """Bytes of a file of a few numbers, to be damaged anywhere."""
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    state = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2])}
    save_weights(path, Weights(state, "float", CONFIG, {"ap": 0.5}))
    return path.read_bytes()


def assert_one_line(error, path):
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert "expected" in str(error.value)
    assert "got" in str(error.value)


def test_what_is_written_comes_back(network, path):
    weights = load_weights(path)
    assert weights.kind == "float"
    assert weights.config == CONFIG
    assert weights.details == {"ap": 0.5}
    assert weights.network == NetworkConfig(scale="n", input_size=(64, 96))
    assert (weights.skeleton, weights.input_size) == ("coco-17", (64, 96))
    assert len(weights.sha256) == 64
    images = torch.rand(1, 3, 64, 64)
    for ours, theirs in zip(network_of(weights)(images), network(images), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_same_weights_give_the_same_bytes(network, path, tmp_path):
    again = tmp_path / "again.safetensors"
    save_weights(again, weights_of(network))
    assert again.read_bytes() == path.read_bytes()


def test_half_precision_rounds_convolutions_only(network, tmp_path):
    path = tmp_path / "half.safetensors"
    save_weights(path, weights_of(network), half=True)
    state = load_weights(path).state
    for name, tensor in network.state_dict().items():
        stored = tensor.half().float() if tensor.ndim > 1 else tensor
        assert torch.equal(state[name], stored)
        assert state[name].dtype == tensor.dtype


def test_the_header_is_read_without_the_tensors(path):
    assert read_header(path) == {
        "format": FORMAT, "kind": "float", "config": CONFIG, "details": {"ap": 0.5}
    }  # fmt: skip


@pytest.mark.parametrize("read", [read_header, load_weights])
def test_a_missing_file_is_a_mistake_in_the_request(tmp_path, read):
    for path in (tmp_path / "no.safetensors", tmp_path):
        with pytest.raises(RequestError) as error:
            read(path)
        assert_one_line(error, path)


@pytest.mark.parametrize("read", [read_header, load_weights])
@pytest.mark.parametrize("kept", [0, 5, 8, 100, -1])
def test_a_file_cut_short_is_damaged(path, read, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(IntegrityError) as error:
        read(path)
    assert_one_line(error, path)


@pytest.mark.parametrize("read", [read_header, load_weights])
def test_another_programs_file_is_not_a_weights_file(tmp_path, read):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, path, metadata={"format": "pt"})
    for content in (path.read_bytes(), b"PK\x03\x04" * 100, struct.pack("<Q", 2) + b"[]"):
        path.write_bytes(content)
        with pytest.raises(IntegrityError) as error:
            read(path)
        assert_one_line(error, path)


def test_a_later_format_asks_for_the_release_that_wrote_it(path):
    path.write_bytes(path.read_bytes().replace(FORMAT.encode(), b"erpose-weights-9"))
    with pytest.raises(IntegrityError, match="format: expected erpose-weights-1, got erpose-wei"):
        read_header(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_one_flipped_bit_anywhere_is_damage(small_file, tmp_path, data):
    place = data.draw(st.integers(0, len(small_file) - 1))
    bit = data.draw(st.integers(0, 7))
    damaged = bytearray(small_file)
    damaged[place] ^= 1 << bit
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(damaged)
    with pytest.raises(IntegrityError) as error:
        load_weights(path)
    assert_one_line(error, path)


def test_a_file_without_a_hash_is_still_read(path):
    # Files were written before the hash came in.
    state = load_weights(path).state
    header = {"format": FORMAT, "kind": "float", "config": json.dumps(CONFIG), "details": "{}"}
    save_file(state, path, metadata=header)
    assert load_weights(path).config == CONFIG


def test_weights_of_another_scale_name_both_scales(network):
    weights = weights_of(ERPose(NetworkConfig(scale="s"), 17))
    with pytest.raises(WeightsError, match=r"scale: expected n, got s; set network.scale=s"):
        fill_network(network, weights)


def test_weights_of_another_skeleton_name_the_tensor(network):
    weights = weights_of(ERPose(NetworkConfig(scale="n"), 14))
    with pytest.raises(WeightsError, match=r"head.*: expected \(34,\), got \(28,\)"):
        fill_network(network, weights)


def test_quantized_weights_do_not_go_into_a_float_network(network):
    with pytest.raises(WeightsError, match="kind: expected float, got qat"):
        fill_network(network, weights_of(network, kind="qat"))


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_a_tensor_too_many_or_too_few_is_named(network, change):
    weights = weights_of(network)
    if change == "missing":
        del weights.state["head.scores.0.bias"]
    else:
        weights.state["head.boxes"] = torch.zeros(4)
    before = {name: t.clone() for name, t in network.state_dict().items()}
    with pytest.raises(WeightsError, match=r"head\.(scores\.0\.bias|boxes): expected "):
        fill_network(network, weights)
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())


def test_a_failed_write_leaves_the_old_file(network, path, monkeypatch):
    write = Path.write_bytes

    def full_disk(file, content):
        write(file, content[:100])
        raise OSError("no space left")

    before = path.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_weights(path, weights_of(network))
    assert path.read_bytes() == before
