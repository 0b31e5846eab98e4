"""Fixtures that several folders of tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engines import (  # noqa: F401 - ERPOSE_REQUIRE
    pytest_configure,
    pytest_make_collect_report,
    pytest_runtest_makereport,
)

from erpose_edge.config import RunConfig, load_config


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers in every run."""
    return np.random.default_rng(0)


@pytest.fixture
def tiny_config() -> RunConfig:
    """The bundled config whose every step takes seconds."""
    return load_config("tiny")


@pytest.fixture
def tiny_artifact(tmp_path: Path) -> Path:
    """Folder of an artifact whose real network finds bright squares; see ``tiny_pose``."""
    from tiny_pose import write_tiny_artifact

    return write_tiny_artifact(tmp_path / "artifact", "compact", "openvino")
