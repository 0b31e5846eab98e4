#!/usr/bin/env python3
r"""Write the dense branch of float weights as weights of their own, which are deployed with NMS.

What the one-to-one branch costs or gains in the same network is the difference between both:

    python scripts/dense_branch.py erpose-n-mobile runs/dense.safetensors
    erpose-edge validate runs/dense.safetensors
"""

from __future__ import annotations

import argparse
import copy
import sys
from dataclasses import replace
from pathlib import Path

from measured_block import ROOT

sys.path.insert(0, str(ROOT))

from erpose_edge.network.checkpoint import load_weights, network_of, save_weights
from erpose_edge.resources import find_resource

_DENSE = "head.dense_"


def main(arguments: list[str] | None = None) -> None:
    """Read, rename, write."""
    parser = argparse.ArgumentParser(description="The dense branch of weights, on its own.")
    parser.add_argument("weights", help="float weights, path or bundled name")
    parser.add_argument("out", type=Path)
    options = parser.parse_args(arguments)
    weights = load_weights(find_resource("weights", options.weights))
    dense = {
        name.replace(_DENSE, "head."): tensor
        for name, tensor in weights.state.items()
        if name.startswith(_DENSE)
    }
    if not dense:
        sys.exit(f"error: weights {options.weights}: expected a dense branch, got none")
    shared = {n: t for n, t in weights.state.items() if not n.startswith(_DENSE)}
    config = copy.deepcopy(weights.config)
    config["network"]["one_to_one"] = False
    alone = replace(weights, state=shared | dense, config=config)
    network_of(alone)  # refuses what does not fit
    save_weights(options.out, alone)


if __name__ == "__main__":
    main()
