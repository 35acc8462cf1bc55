"""Goldens of the layer analysis: attention statistics by head and linear CKA between layers, in float64.

  python test/golden/attention_statistics.py        writes test/golden/attention_statistics.json

The encoders are transformers' BertModel with eager attention; each sequence goes through alone, without packing or padding. Weights
are made by a formula (reference.py), those of queries and keys 6 times as large, so that heads differ. CKA is NumPy's, in the
form with Gram matrices of the rows (Kornblith et al. 2019, eq. 3 and 5 with a linear kernel). tests: 89.layer-analysis.test.ts
"""

import json
import os

import numpy as np
import torch
from transformers import BertModel

from reference import formula, small_config

HERE = os.path.dirname(os.path.abspath(__file__))
LENGTHS = [19, 4, 33, 9, 26, 13, 3]
VOCAB, CLS, SEP = 61, 2, 3
MODELS = {
    "left": dict(layers=3, hidden=32, heads=4, intermediate=64, vocab=VOCAB, positions=40),
    "right": dict(layers=2, hidden=24, heads=2, intermediate=48, vocab=VOCAB, positions=40),
}
SHARPER = 6


def build(shape):
    model = BertModel(small_config(**shape), add_pooling_layer=False).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = formula("bert." + name, tuple(parameter.shape))
            if name.endswith(("query.weight", "key.weight")):
                values = values * SHARPER
            parameter.copy_(torch.from_numpy(values))
    return model


def make_sequences(rng):
    sequences = []
    for i, length in enumerate(LENGTHS):
        ids = rng.integers(5, VOCAB, length)
        ids[0], ids[-1] = CLS, SEP
        if i % 3 == 2 and length > 8:
            ids[length // 2] = SEP  # a pair
        sequences.append(ids)
    return sequences


def statistics(model, sequences):
    """By name: (layers, heads), means over all queries."""
    sums, queries = {}, 0
    for ids in sequences:
        length = len(ids)
        distance = np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
        with torch.no_grad():
            attentions = model(torch.from_numpy(ids)[None], output_attentions=True).attentions
        p = np.stack([a[0].numpy() for a in attentions])  # (L, N, S, S)
        entropy = -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0), -1)
        parts = {
            "distance": (p * distance).sum(-1),
            "entropy": entropy,
            "first": p[..., 0],
            "separators": p[..., ids == SEP].sum(-1),
        }
        for name, values in parts.items():
            sums[name] = sums.get(name, 0) + values.sum(-1)
        queries += length
    return {name: (values / queries).tolist() for name, values in sums.items()}


def states(model, sequences, unit):
    """By layer: (rows, width)."""
    rows = []
    for ids in sequences:
        with torch.no_grad():
            hidden = model(torch.from_numpy(ids)[None], output_hidden_states=True).hidden_states
        hidden = [h[0].numpy() for h in hidden]
        keep = (ids != CLS) & (ids != SEP)
        rows.append([h[keep] if unit == "token" else h.mean(0, keepdims=True) for h in hidden])
    return [np.concatenate(layer) for layer in zip(*rows)]


def cka(x, y):
    n = len(x)
    centre = np.eye(n) - 1 / n
    k, l = centre @ (x @ x.T) @ centre, centre @ (y @ y.T) @ centre
    return np.sum(k * l) / np.sqrt(np.sum(k * k) * np.sum(l * l))


def main():
    sequences = make_sequences(np.random.default_rng(17))
    models = {name: build(shape) for name, shape in MODELS.items()}
    similarity = {}
    for unit in ("token", "sentence"):
        by_layer = {name: states(model, sequences, unit) for name, model in models.items()}
        similarity[unit] = {
            "rows": len(by_layer["left"][0]),
            "own": [[cka(x, y) for y in by_layer["left"]] for x in by_layer["left"]],
            "against": [[cka(x, y) for y in by_layer["right"]] for x in by_layer["left"]],
        }
    result = {
        "models": MODELS,
        "sharper": SHARPER,
        "vocabulary": VOCAB,
        "sequences": [ids.tolist() for ids in sequences],
        "attention": {name: statistics(model, sequences) for name, model in models.items()},
        "cka": similarity,
    }
    with open(os.path.join(HERE, "attention_statistics.json"), "w") as file:
        json.dump(result, file, separators=(",", ":"))
        file.write("\n")


main()
