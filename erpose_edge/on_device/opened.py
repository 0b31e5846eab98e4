"""The bundle that this program lies in, its artifacts, and whether they find what they must."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import erpose_edge
from erpose_edge.errors import RequestError
from erpose_edge.machine.diagnosis import Target
from erpose_edge.machine.registry import REGISTRY_FILE, Registry
from erpose_edge.runtime.artifact import Artifact
from erpose_edge.runtime.bundle import BUNDLE_NAME, Bundle, read_bundle
from erpose_edge.runtime.estimator import PoseEstimator
from erpose_edge.runtime.selftest import Miss, check_self_test
from erpose_edge.runtime.tensorrt.dla import DLA_PLAN

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class EngineOptions:
    """How engines are opened, where it is not left to profile and device.

    Attributes:
        threads: Of the engine; None for the profile's.
        cache: TensorRT: folder of all engines; None for the user's.
        dla_core: TensorRT: number of the DLA core; None for the first one, if the artifact was
            exported for DLA, else the GPU.
        gpu: TensorRT: the GPU in any case.
    """

    threads: int | None = None
    cache: Path | None = None
    dla_core: int | None = None
    gpu: bool = False

    @classmethod
    def of(cls, options: argparse.Namespace) -> EngineOptions:
        """Return them from a command's options."""
        return cls(options.threads, options.cache, options.dla_core, options.gpu)

    def core_for(self, artifact: Artifact) -> int | None:
        """Return the DLA core for an artifact; fp32, the reference, is never on one."""
        if self.gpu or artifact.manifest.precision == "fp32":
            return None
        return 0 if self.dla_core is None and DLA_PLAN in artifact.manifest.files else self.dla_core

    def words(self) -> list[str]:
        """Return them as words of a command line."""
        given = {"--threads": self.threads, "--cache": self.cache, "--dla-core": self.dla_core}
        return [
            word
            for name, value in given.items()
            if value is not None
            for word in (name, str(value))
        ] + ["--gpu"] * self.gpu


@dataclass(frozen=True)
class OpenedBundle:
    """A verified bundle.

    Attributes:
        bundle: Folder and list.
        artifacts: By name, the one that serves first.
    """

    bundle: Bundle
    artifacts: dict[str, Artifact]

    @property
    def serving(self) -> str:
        """Name of the artifact that serves."""
        return next(iter(self.artifacts))

    @property
    def profile(self) -> Mapping[str, Any]:
        """What a board needs of the target's profile."""
        return self.bundle.profile

    @property
    def registry(self) -> Registry:
        """The devices and rules that were known when the bundle was made."""
        text = (self.bundle.folder / REGISTRY_FILE).read_text(encoding="utf-8")
        return Registry.from_json(json.loads(text))

    @property
    def device(self) -> Target:
        """What the bundle asks of a machine."""
        return Target.from_profile(self.profile)

    def estimator(
        self, name: str | None = None, options: EngineOptions | None = None
    ) -> PoseEstimator:
        """Open an artifact.

        Args:
            name: Of the artifact; the one that serves by default.
            options: Of its engine.
        """
        options = options or EngineOptions()
        artifact = self.artifacts[name or self.serving]
        if artifact.manifest.engine != "tensorrt":
            return PoseEstimator(artifact, threads=options.threads or self.profile["threads"])
        from erpose_edge.runtime.tensorrt.build import BuildOptions
        from erpose_edge.runtime.tensorrt.runner import TensorrtRunner

        building = BuildOptions(cache=options.cache, dla_core=options.core_for(artifact))
        runner = TensorrtRunner(artifact, options.threads, options=building)
        return PoseEstimator(artifact, runner=runner)


def open_bundle(folder: Path | None = None) -> OpenedBundle:
    """Read and verify a bundle.

    Args:
        folder: Of the bundle; the one that this program lies in by default.

    Raises:
        RequestError: This program does not lie in a bundle.
        IntegrityError: A file is missing, damaged or not listed.
    """
    own = Path(erpose_edge.__file__).resolve().parent.parent
    if folder is None and not (own / BUNDLE_NAME).is_file():
        raise RequestError(
            f"{own}: expected a bundle, got a folder without bundle.json; name one with --bundle"
        )
    bundle = read_bundle(folder or own, in_use=True)
    return OpenedBundle(bundle, bundle.opened())


def self_test(opened: OpenedBundle, estimator: PoseEstimator) -> list[Miss]:
    """Return the poses of the self-test that the serving artifact should find and does not."""
    from erpose_edge.data.generated.scene import render_scene

    artifact = opened.artifacts[opened.serving]
    return check_self_test(estimator, artifact, lambda seed, size: render_scene(seed, size)[0])
