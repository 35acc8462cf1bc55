"""Probes with transformers and scikit-learn: the same sentences, pooling and strengths of l2 as `stratabert probe`.

python probe_sklearn.py --model DIR --probes DIR --output FILE.json [--tasks A,B] [--layers 0,3] [--features DIR]
                        [--converged] [--threads 2]

Reads the tasks that `stratabert probes build` writes (sentence probes), runs transformers' BertModel over them (float32, batches of like
lengths, mean over all tokens of a sentence, [CLS] and [SEP] included), and fits sklearn.linear_model.LogisticRegression(C = 1 / (l2 N)) on
every layer and strength; dev chooses the strength. --converged runs it in float64 with a tolerance of 1e-8, where scikit-learn's defaults in
float32 (tolerance 1e-4, here at most 1,000 steps) end some tenths of a point away from the optimum. With --features the states go to DIR/<task>.f32, (units, layers, width) float32, train,
dev and test one after the other, with labels in the JSON file: so that another classifier can be run on the same numbers.
"""

import argparse
import json
import os
import resource
import time
import warnings

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from transformers import AutoModel, AutoTokenizer

L2 = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
SPLITS = {"tr": "train", "va": "dev", "te": "test"}


def read_task(path, classes):
    number = {name: index for index, name in enumerate(classes)}
    splits = {"train": ([], []), "dev": ([], []), "test": ([], [])}
    with open(path, encoding="utf-8", newline="\n") as lines:
        for line in lines:
            mark, label, text = line.rstrip("\n").split("\t", 2)
            texts, labels = splits[SPLITS[mark]]
            texts.append(text)
            labels.append(number[label])
    return splits


def encode(model, tokenizer, texts, layers, batch_size=64):
    """(N, layers, H) float32: means over the tokens that are no padding."""
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    states = np.empty((len(texts), len(layers), model.config.hidden_size), dtype=np.float32)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = tokenizer([texts[i] for i in rows], padding=True, truncation=True, max_length=model.config.max_position_embeddings, return_tensors="pt")
        with torch.inference_mode():
            hidden = model(**batch, output_hidden_states=True).hidden_states
        mask = batch["attention_mask"].unsqueeze(-1).float()
        for place, layer in enumerate(layers):
            states[rows, place] = ((hidden[layer] * mask).sum(1) / mask.sum(1)).numpy()
    return states


def probe(states, labels, counts, converged):
    """Every strength on one layer's states: dev and test accuracy, steps, and whether it converged."""
    train, dev = counts["train"], counts["dev"]
    if converged:
        states = states.astype(np.float64)
    grid = []
    for l2 in L2:
        model = LogisticRegression(C=1 / (l2 * train), max_iter=100_000 if converged else 1000, tol=1e-8 if converged else 1e-4)
        started = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(states[:train], labels[:train])
        grid.append(
            {
                "l2": l2,
                "devAccuracy": float((model.predict(states[train : train + dev]) == labels[train : train + dev]).mean()),
                "testAccuracy": float((model.predict(states[train + dev :]) == labels[train + dev :]).mean()),
                "iterations": int(np.max(model.n_iter_)),
                "converged": not any(issubclass(one.category, ConvergenceWarning) for one in caught),
                "seconds": time.perf_counter() - started,
            }
        )
    return grid


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--probes", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--tasks")
    parser.add_argument("--layers")
    parser.add_argument("--features")
    parser.add_argument("--converged", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with open(os.path.join(options.probes, "probes.json"), encoding="utf-8") as file:
        tasks = [task for task in json.load(file)["tasks"] if task["kind"] == "sentence"]
    if options.tasks:
        tasks = [task for task in tasks if task["name"] in options.tasks.split(",")]
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModel.from_pretrained(options.model, dtype=torch.float32).eval()
    layers = [int(layer) for layer in options.layers.split(",")] if options.layers else list(range(model.config.num_hidden_layers + 1))
    if options.features:
        os.makedirs(options.features, exist_ok=True)
    results = []
    begun = time.perf_counter()
    for task in tasks:
        splits = read_task(os.path.join(options.probes, task["file"]), task["classes"])
        counts = {name: len(texts) for name, (texts, _) in splits.items()}
        texts = [text for name in ("train", "dev", "test") for text in splits[name][0]]
        labels = np.array([label for name in ("train", "dev", "test") for label in splits[name][1]])
        started = time.perf_counter()
        states = encode(model, tokenizer, texts, layers)
        encoder_seconds = time.perf_counter() - started
        result = {"name": task["name"], "classes": len(task["classes"]), **counts, "encoderSeconds": encoder_seconds, "cells": []}
        if options.features:
            result["features"] = os.path.join(options.features, f"{task['name']}.f32")
            result["labels"] = labels.tolist()
            states.tofile(result["features"])
        for place, layer in enumerate(layers):
            grid = probe(np.ascontiguousarray(states[:, place]), labels, counts, options.converged)
            best = max(range(len(grid)), key=lambda i: grid[i]["devAccuracy"])  # the first of equals
            result["cells"].append({"layer": layer, "l2": grid[best]["l2"], "accuracy": grid[best]["testAccuracy"], "grid": grid})
            print(f"{task['name']} layer {layer}: {grid[best]['testAccuracy']:.3f}, {sum(one['seconds'] for one in grid):.1f} s", flush=True)
        result["seconds"] = time.perf_counter() - started
        results.append(result)
    report = {
        "layers": layers,
        "hiddenSize": model.config.hidden_size,
        "seconds": time.perf_counter() - begun,
        "peakMemoryBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "tasks": results,
    }
    with open(options.output, "w", encoding="utf-8") as file:
        json.dump(report, file)


main()
