"""Goldens of every kind of adapter in float64: python test/golden/adapters.py writes adapters.json.gz (tests: 17.adapters.test.ts).

Loss of next-sentence heads, hidden states and the gradient of every parameter, by post_ln.py.
"""

import gzip
import json
import os

import numpy as np
import torch

from post_ln import run
from reference import NO_LABEL, random_batch

HERE = os.path.dirname(os.path.abspath(__file__))
ENCODER = {
    "vocabSize": 61, "layers": 3, "hiddenSize": 48, "heads": 4, "intermediateSize": 96, "maxPositions": 40, "segmentTypes": 2,
    "layerNormEpsilon": 1e-12,
}
ADAPTERS = {
    "pal": {"kind": "pal", "size": 24},
    "pal-12-heads": {"kind": "pal", "size": 24, "heads": 12},
    "pal-without-gelu": {"kind": "pal", "size": 18, "heads": 3, "outputGelu": False},
    "low-rank": {"kind": "low-rank", "size": 10},
    "houlsby": {"kind": "houlsby", "size": 5},
    "lhuc": {"kind": "lhuc"},
    "top-attention": {"kind": "top-attention", "size": 24, "blocks": 2},
    "top-layer": {"kind": "top-layer"},
    "top-layer-2-heads": {"kind": "top-layer", "heads": 2},
    "lora": {"kind": "lora", "size": 4},
    "lora-key-value": {"kind": "lora", "size": 3, "alpha": 16, "targets": ["key", "value"]},
}


def nsp(name, layer, weight):
    return {"name": name, "kind": "next-sentence", "tap": {"layer": layer}, "weight": weight}


def main():
    torch.manual_seed(0)
    heads = [nsp("top", 3, 1.0), nsp("low", 1, 0.5)]
    batch = random_batch(np.random.default_rng(1902), [19, 5, 40, 1, 12], ENCODER["vocabSize"], heads)
    # Not as many of the one class as of the other: the bias's gradient would cancel down to rounding.
    batch["labels"]["top"]["labels"] = [1, 0, NO_LABEL, 1, 1]
    cases = {"plain": run({"heads": heads}, ENCODER, batch)}
    for name, config in ADAPTERS.items():
        adapter = {"name": "task", **config}
        # The other adapter is there, but the batch does not go through it.
        case = {"heads": heads, "adapters": [adapter, {"name": "other", "kind": "low-rank", "size": 2}], "adapter": "task"}
        cases[name] = run(case, ENCODER, batch)
        if config["kind"] == name:
            cases[f"{name}, low head"] = run({**case, "labelled": ["low"]}, ENCODER, batch)
        print(name, cases[name]["losses"])
    output = {"encoder": ENCODER, "batch": batch, "cases": cases, "versions": {"torch": torch.__version__.split("+")[0]}}
    with open(os.path.join(HERE, "adapters.json.gz"), "wb") as file:
        file.write(gzip.compress(json.dumps(output, separators=(",", ":")).encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
