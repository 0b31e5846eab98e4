"""Which DLA core an artifact is opened on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from erpose_edge.on_device.opened import EngineOptions


def artifact(precision, *files):
    return SimpleNamespace(
        manifest=SimpleNamespace(precision=precision, files=dict.fromkeys(files))
    )


@pytest.mark.parametrize(
    ("options", "made", "core"),
    [
        (EngineOptions(), artifact("int8", "dla.json"), 0),
        (EngineOptions(dla_core=1), artifact("int8", "dla.json"), 1),
        (EngineOptions(gpu=True), artifact("int8", "dla.json"), None),
        (EngineOptions(), artifact("int8"), None),
        (EngineOptions(dla_core=1), artifact("fp32"), None),  # the reference, which DLA cannot be
    ],
)
def test_what_was_exported_for_dla_runs_there_unless_told_otherwise(options, made, core):
    assert options.core_for(made) == core


def test_the_options_go_on_to_another_process():
    words = EngineOptions(2, None, 1, gpu=True).words()
    assert words == ["--threads", "2", "--dla-core", "1", "--gpu"]
