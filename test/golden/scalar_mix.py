"""Goldens of the scalar mix in float64: python test/golden/scalar_mix.py writes scalar_mix.json.gz (tests: 18.scalar-mix.test.ts).

Losses, scores and the gradient of every parameter, by post_ln.py. In the `cut above` cases the last LayerNorm of a block is constant
(weight 0), so that no gradient comes down through it: what the block below gets then comes through the mix alone.
"""

import gzip
import json
import os

import numpy as np
import torch

from adapters import ENCODER, nsp
from post_ln import run
from reference import random_batch

HERE = os.path.dirname(os.path.abspath(__file__))


def mix(name, embeddings=False, norm=False, init="uniform"):
    return {"name": name, "includeEmbeddings": embeddings, "layerNorm": norm, "init": init}


def head(name, kind, tap, **more):
    return {"name": name, "kind": kind, "tap": {"mix": tap} if isinstance(tap, str) else {"layer": tap}, "weight": 1.0, **more}


def main():
    torch.manual_seed(0)
    mlm = head("mlm", "masked-lm", "a", transfer={"from": "pair", "mode": "concat", "stopGradient": False})
    pair, other = head("pair", "next-sentence", "a"), head("other", "next-sentence", "b", weight=0.5)
    token = head("token", "bigram-shift", "b", level="token", read="mean")
    sentence = head("sentence", "bigram-shift", "a", level="sentence", read="mean")
    every = [mlm, pair, other, token, sentence]
    top = nsp("pair", 3, 1.0)
    pal = {"name": "task", "kind": "pal", "size": 24}
    uniform = {"mixes.a.weights": [0.0, 0.0, 0.0], "mixes.a.gamma": [1.0]}
    last = {"mixes.a.weights": [0.0, 0.0, 0.0, 4.0], "mixes.a.gamma": [1.0]}
    batch = random_batch(np.random.default_rng(2110), [19, 5, 40, 1, 12], ENCODER["vocabSize"], every)
    cases = {
        "drawn": {"mixes": [mix("a")], "heads": [pair]},
        "embeddings": {"mixes": [mix("a", embeddings=True)], "heads": [pair]},
        "layer norm": {"mixes": [mix("a", norm=True)], "heads": [pair]},
        "embeddings, layer norm": {"mixes": [mix("a", True, True)], "heads": [pair]},
        "uniform": {"mixes": [mix("a")], "heads": [pair], "values": uniform},
        "last": {"mixes": [mix("a", True, init="last")], "heads": [pair], "values": last},
        "heads of three kinds, two mixes": {"mixes": [mix("a"), mix("b", True, True)], "heads": every},
        "with a layer's head": {"mixes": [mix("a")], "heads": [pair, {**nsp("other", 2, 0.5)}]},
        "with a PAL": {"mixes": [mix("a", True)], "heads": [pair, {**nsp("other", 2, 0.5)}], "adapters": [pal], "adapter": "task"},
    }
    for layer in (1, 2):
        cut = {f"bert.encoder.layer.{layer}.output.LayerNorm.weight": [0.0]}
        cases[f"cut above layer {layer}"] = {"mixes": [mix("a", True)], "heads": [pair], "values": cut}
        cases[f"cut above layer {layer}, no mix"] = {"heads": [top], "values": cut}
    cases["cut above layer 0"] = {
        "mixes": [mix("a", True)], "heads": [pair], "values": {"bert.encoder.layer.0.output.LayerNorm.weight": [0.0]},
    }
    results = {name: run(case, ENCODER, batch) for name, case in cases.items()}
    for name, result in results.items():
        print(name, result["losses"])
    output = {"encoder": ENCODER, "batch": batch, "cases": results, "versions": {"torch": torch.__version__.split("+")[0]}}
    with open(os.path.join(HERE, "scalar_mix.json.gz"), "wb") as file:
        file.write(gzip.compress(json.dumps(output, separators=(",", ":")).encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
