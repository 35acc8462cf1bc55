"""Goldens of the probing classifiers: scikit-learn's LogisticRegression and a PyTorch MLP on small features.

Run: python test/golden/probing.py  (writes probing.json beside itself; scikit-learn, torch, numpy)

Features are computed by a formula (see `features`), so that the file holds no data but results.
"""
import json
import pathlib
import sys

import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegression

LAYERS, WIDTH, CLASSES, TRAIN, DEV, TEST = 3, 12, 4, 240, 60, 80
L2 = [1e-4, 1e-3, 1e-2, 1e-1]


def features():
    """(units, layers, width) float32 and labels: a linear signal that grows with the layer, columns of unlike scales and a common shift."""
    units = TRAIN + DEV + TEST
    u, l, h = np.meshgrid(np.arange(units), np.arange(LAYERS), np.arange(WIDTH), indexing="ij")
    noise = np.sin(12.9898 * (u + 1) + 78.233 * (l + 1) * (h + 1)) * 43758.5453
    noise = noise - np.floor(noise) - 0.5
    labels = (np.arange(units) * 7 + np.arange(units) // 5) % CLASSES
    signal = np.cos(labels[:, None, None] * (h + 1)) * (0.08 + 0.04 * l)
    scale = 0.25 + (h % 4)
    return ((noise + signal) * scale + 0.5 * (h % 3)).astype(np.float32), labels.astype(np.int64)


def objective(weights, intercepts, x, y, l2):
    z = x.astype(np.float64) @ weights.T + intercepts
    z = z - z.max(1, keepdims=True)
    loss = (np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]).mean()
    return loss + 0.5 * l2 * (weights**2).sum()


def logistic(x, y):
    layers = []
    for layer in range(LAYERS):
        grid = []
        for l2 in L2:
            model = LogisticRegression(C=1 / (l2 * TRAIN), tol=1e-10, max_iter=100_000)
            model.fit(x[:TRAIN, layer].astype(np.float64), y[:TRAIN])
            grid.append(
                {
                    "l2": l2,
                    "loss": objective(model.coef_, model.intercept_, x[:TRAIN, layer], y[:TRAIN], l2),
                    "devRight": int((model.predict(x[TRAIN : TRAIN + DEV, layer]) == y[TRAIN : TRAIN + DEV]).sum()),
                    "testRight": int((model.predict(x[TRAIN + DEV :, layer]) == y[TRAIN + DEV :]).sum()),
                    "weights": model.coef_.flatten().tolist(),
                    # Softmax leaves a common shift of the intercepts open.
                    "intercepts": (model.intercept_ - model.intercept_.mean()).tolist(),
                }
            )
        layers.append(grid)
    return layers


def two_classes(x, y, layer=2):
    """Of two classes scikit-learn learns one row of weights, and penalises that."""
    grid = []
    for l2 in L2:
        model = LogisticRegression(C=1 / (l2 * TRAIN), tol=1e-10, max_iter=100_000)
        model.fit(x[:TRAIN, layer].astype(np.float64), y[:TRAIN] % 2)
        weights, intercept = model.coef_[0], model.intercept_[0]
        signs = 2 * (y[:TRAIN] % 2) - 1
        margins = signs * (x[:TRAIN, layer].astype(np.float64) @ weights + intercept)
        grid.append(
            {
                "l2": l2,
                "loss": float(np.log1p(np.exp(-margins)).mean() + 0.5 * l2 * (weights**2).sum()),
                "devRight": int((model.predict(x[TRAIN : TRAIN + DEV, layer]) == y[TRAIN : TRAIN + DEV] % 2).sum()),
                "testRight": int((model.predict(x[TRAIN + DEV :, layer]) == y[TRAIN + DEV :] % 2).sum()),
                "weights": weights.tolist(),
                "intercept": float(intercept),
            }
        )
    return {"layer": layer, "grid": grid}


def mix(x, y, l2):
    """The jointly trained mix, by a float64 L-BFGS of PyTorch from w = 0, W = 0."""
    h = torch.tensor(x[:TRAIN].astype(np.float64))
    # Every layer at the layers' mean spread.
    spread = (h - h.mean(0)).square().mean((0, 2)).sqrt()
    h = h * (spread.mean() / spread)[:, None]
    labels = torch.tensor(y[:TRAIN])
    weights = torch.zeros(CLASSES, WIDTH, dtype=torch.float64, requires_grad=True)
    intercepts = torch.zeros(CLASSES, dtype=torch.float64, requires_grad=True)
    scalars = torch.zeros(LAYERS, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights, intercepts, scalars], max_iter=5000, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def loss():
        mixed = torch.einsum("l,nlh->nh", torch.softmax(scalars, 0), h)
        logits = mixed @ weights.T + intercepts
        return torch.nn.functional.cross_entropy(logits, labels) + 0.5 * l2 * (weights**2).sum() + 0.5 * 1e-3 * (scalars**2).sum()

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
    return {"l2": l2, "loss": loss().item(), "shares": torch.softmax(scalars, 0).tolist()}


def mlp(x, y, layer, l2, epochs, hidden=5, batch=32):
    """SentEval's classifier (Linear, Sigmoid, Linear; Adam with weight_decay) from weights and orders of a formula."""
    model = torch.nn.Sequential(torch.nn.Linear(WIDTH, hidden), torch.nn.Sigmoid(), torch.nn.Linear(hidden, CLASSES))
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            values = np.sin(np.arange(parameter.numel()) * 1.7 + number)
            parameter.copy_(torch.tensor(0.3 * values, dtype=torch.float32).view_as(parameter))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=l2)
    inputs, labels = torch.tensor(x[:TRAIN, layer]), torch.tensor(y[:TRAIN])
    for epoch in range(epochs):
        order = torch.tensor((np.arange(TRAIN) * 7 + 11 * epoch) % TRAIN)  # 7 and 240 share no factor
        for start in range(0, TRAIN, batch):
            rows = order[start : start + batch]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs[rows]), labels[rows]).backward()
            optimizer.step()
    return {"layer": layer, "l2": l2, "weights": [p.detach().flatten().tolist() for p in model.parameters()]}


def main():
    x, y = features()
    result = {
        "versions": {"python": sys.version.split()[0], "sklearn": sklearn.__version__, "torch": torch.__version__},
        "sizes": {"layers": LAYERS, "width": WIDTH, "classes": CLASSES, "train": TRAIN, "dev": DEV, "test": TEST, "l2": L2},
        "featureSum": float(np.abs(x.astype(np.float64)).sum()),
        "logistic": logistic(x, y),
        "twoClasses": two_classes(x, y),
        "mix": [mix(x, y, l2) for l2 in (1e-3, 1e-2)],
        "mlp": {"epochs": 3, "hidden": 5, "batch": 32, "cells": [mlp(x, y, layer, l2, 3) for layer in range(LAYERS) for l2 in (0.0, 1e-2)]},
    }
    path = pathlib.Path(__file__).with_name("probing.json")
    path.write_text(json.dumps(result) + "\n")


main()
