"""The rungs of a deployment: from the fewest bits to fp32, each a network that can be exported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from erpose_edge.deploy.default import bundled_weights
from erpose_edge.deploy.profile import Profile
from erpose_edge.errors import ConfigError, WeightsError
from erpose_edge.network.checkpoint import Weights, load_weights, save_weights
from erpose_edge.quantization.checkpoint import policy_of, under_policy
from erpose_edge.quantization.recipe import Policy

CALIBRATED_FILE = "calibrated.safetensors"  # of float weights that were not fine-tuned
REFERENCE = "fp32"

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class WeightsPair:
    """Float weights, the reference, and the quantized ones that int8 is exported from."""

    reference: Weights
    quantized: Weights


@dataclass(frozen=True)
class Rung:
    """One way to deploy a network.

    Attributes:
        name: ``int8``, ``mixed`` (int8 with more layers in float), ``fp16`` or ``fp32``.
        precision: Of the artifact: ``mixed`` is an int8 artifact under another policy.
        weights: What it is exported from.
    """

    name: str
    precision: str
    weights: Weights


def rungs(profile: Profile, pair: WeightsPair, more_float: Policy) -> list[Rung]:
    """Return the rungs in the order in which the profile tries them; fp32 is always the last.

    Args:
        profile: The target.
        pair: What to deploy.
        more_float: Its ``keep_float`` is added to that of the quantized weights for ``mixed``.
    """
    names = list(dict.fromkeys([*(n for n in profile.precisions if n != REFERENCE), REFERENCE]))
    return [_rung(name, pair, more_float) for name in names]


def _rung(name: str, pair: WeightsPair, more_float: Policy) -> Rung:
    if name == "mixed":
        own = policy_of(pair.quantized)
        wider = own.model_copy(
            update={
                "description": f"{own.description}; and {more_float.description}",
                "keep_float": list(dict.fromkeys([*own.keep_float, *more_float.keep_float])),
            }
        )
        return Rung(name, "int8", under_policy(pair.quantized, wider))
    return Rung(name, name, pair.quantized if name == "int8" else pair.reference)


def choose_weights(given: Path | None) -> WeightsPair:
    """Return what to deploy.

    Args:
        given: Float or quantized weights; None takes the bundled pair. Float weights are
            calibrated by `quantize_without_training`, quantized ones carry their float twin.

    Raises:
        RequestError: There is no such file.
        IntegrityError: It is damaged.
    """
    if given is None:
        return WeightsPair(
            load_weights(bundled_weights(REFERENCE)), load_weights(bundled_weights("int8"))
        )
    weights = load_weights(given)
    return WeightsPair(weights, weights)


def quantize_without_training(weights: Weights, path: Path, report: Report) -> Weights:
    """Calibrate ``weights`` for int8 by their own config, without fine-tuning.

    Args:
        weights: Float weights.
        path: Where the quantized weights are written.
        report: Called with the images seen and their number.

    Raises:
        WeightsError: Their config is not one of this version.
    """
    from erpose_edge.config import config_from_mapping
    from erpose_edge.quantization.qat import Quantization

    try:
        config = config_from_mapping(weights.config, str(weights.path))
    except ConfigError as error:
        raise WeightsError(f"weights {weights.path}: config: {error}") from error
    quantization = Quantization(weights, config)
    quantization.calibrate(report)
    save_weights(path, quantization.weights())
    return load_weights(path)
