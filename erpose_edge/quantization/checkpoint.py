"""Quantized weights files: float weights with batch norm folded, scales, and the policy.

A file of kind ``qat`` gives back exactly the fake-quantized network that was written. The scales
of weights are not in it: they follow from the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from erpose_edge.config_file import model_from_mapping
from erpose_edge.errors import WeightsError
from erpose_edge.network.checkpoint import Weights, network_of
from erpose_edge.network.pose_network import ERPose
from erpose_edge.quantization.fake_quantize import (
    activation_quantizers,
    quantized_convolutions,
    set_mode,
)
from erpose_edge.quantization.prepare import fold, prepare
from erpose_edge.quantization.recipe import Policy, fingerprint
from erpose_edge.skeleton import skeleton_named

KIND = "qat"


def quantized_weights(
    network: fx.GraphModule,
    config: dict[str, Any],
    policy: Policy,
    details: Mapping[str, Any],
    *,
    half: bool = False,
) -> Weights:
    """Return the content of a weights file for a calibrated network.

    Args:
        network: As `prepare` returned it under ``policy``, calibrated.
        config: Resolved config of the run.
        policy: Goes into the file.
        details: What else is worth knowing later.
        half: Round weights to what float16 can hold, so that a file written with ``half`` gives
            back these very weights.
    """
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    if half:
        state = {n: t.half().float() if t.ndim > 1 else t for n, t in state.items()}
    everything = {**details, "policy": policy.model_dump(mode="json")}
    return Weights(state=state, kind=KIND, config=config, details=everything)


def policy_of(weights: Weights) -> Policy:
    """Return the policy that quantized weights were made under.

    Raises:
        WeightsError: The weights are not quantized.
        ConfigError: The policy in the file does not fit the schema of this version.
    """
    if weights.kind != KIND or "policy" not in weights.details:
        raise WeightsError(
            f"weights {weights.path or ''}: kind: expected {KIND}, got {weights.kind}; "
            "make them with `erpose-edge qat`"
        )
    name = f"weights {weights.path or ''}: policy"
    return model_from_mapping(weights.details["policy"], Policy, name)


def deployed_network(
    weights: Weights, *, quantized: bool, policy: Policy | None = None
) -> fx.GraphModule:
    """Return the deployed network of a weights file, batch norm folded, in eval mode.

    Args:
        weights: Float or quantized.
        quantized: Fake-quantized; otherwise plain float, also from quantized weights.
        policy: Instead of that of quantized weights; see `under_policy`.

    Raises:
        WeightsError: The weights are not quantized but should be, do not fit their network, or
            ``policy`` wants more int8 than they have scales for.
    """
    if weights.kind == "float" and not quantized:
        return fold(network_of(weights))
    network = _prepared(weights, policy or policy_of(weights))
    _fill(network, weights if policy is None else _restricted(weights, policy, network))
    set_mode(network, "fake" if quantized else "float")
    return network.eval()


def under_policy(weights: Weights, policy: Policy) -> Weights:
    """Return quantized weights under a policy that keeps more convolutions float than their own.

    Scales of tensors that are float then are left out; weights and the other scales stay.

    Args:
        weights: Quantized; ``sha256`` and ``path`` of the result are theirs.
        policy: Goes into the result.

    Raises:
        WeightsError: The weights are not quantized, or ``policy`` wants something int8 that is
            float under their own, or rounds weights by another rule.
    """
    return _restricted(weights, policy, _prepared(weights, policy))


def activation_scales(network: fx.GraphModule) -> dict[str, float]:
    """Return the scale of every activation quantizer by name."""
    return {name: float(q.scale) for name, q in activation_quantizers(network).items()}


def _restricted(weights: Weights, policy: Policy, network: fx.GraphModule) -> Weights:
    """Return what `under_policy` returns; ``network`` is `_prepared` under ``policy``."""
    own = policy_of(weights)
    where = f"weights {weights.path or ''}: policy {policy.description!r}"
    if policy.weights != own.weights:
        raise WeightsError(
            f"{where}: weights: expected {own.weights}, which they were made with, got "
            f"{policy.weights}; change that with `erpose-edge qat`"
        )
    more = [name for name in quantized_convolutions(network) if own.is_float(name)]
    if more:
        raise WeightsError(
            f"{where}: {more[0]}: expected float, as the weights have no scales for it, got int8 "
            f"(and {len(more) - 1} more); quantize with this policy by `erpose-edge qat`"
        )
    names = network.state_dict().keys()
    return replace(
        weights,
        state={name: tensor for name, tensor in weights.state.items() if name in names},
        details={
            **weights.details,
            "policy": policy.model_dump(mode="json"),
            "policy_sha256": fingerprint(policy),
        },
    )


def _prepared(weights: Weights, policy: Policy) -> fx.GraphModule:
    """Return the deployed network under ``policy``, filled with zeros."""
    keypoints = len(skeleton_named(weights.skeleton))
    with torch.device("meta"):
        frame = ERPose(weights.network, keypoints)
    return prepare(_materialized(frame), policy)


def _materialized(frame: ERPose) -> ERPose:
    # Zeros instead of random numbers that the file replaces at once; also keeps the seed.
    return frame.to_empty(device="cpu").apply(_zero)


def _zero(module: torch.nn.Module) -> None:
    for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
        tensor.detach().zero_()


def _fill(network: fx.GraphModule, weights: Weights) -> None:
    own = network.state_dict()
    for name in sorted(own.keys() | weights.state.keys()):
        expected = _shape(own.get(name))
        got = _shape(weights.state.get(name))
        if expected != got:
            raise WeightsError(
                f"weights {weights.path or ''}: {name}: expected {expected}, got {got}; "
                "the weights belong to another network or policy"
            )
    network.load_state_dict(weights.state)


def _shape(tensor: Tensor | None) -> str:
    return "no such tensor" if tensor is None else str(tuple(tensor.shape))
