"""The loss curve of 300 pre-training steps in transformers + torch.optim: writes test/golden/loss_curve.json.

The batches are the package's own (loss-curve-batches.ts), the weights a formula's (reference.py), dropout 0, float32. The
script also runs the loop in float64 and prints how far float32 rounding alone moves the curve.
"""

import gzip
import json
import os

import numpy as np
import torch
from safetensors.numpy import load as load_safetensors

from reference import Reference, small_config

HERE = os.path.dirname(os.path.abspath(__file__))
SETTINGS = {
    "encoder": {"vocabSize": 2000, "layers": 2, "hiddenSize": 128, "heads": 4, "intermediateSize": 256, "maxPositions": 64},
    "learningRate": 5e-4, "warmupSteps": 30, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weightDecay": 0.01,
    "maxGradNorm": 1.0,
}
HEADS = [
    {"name": "mlm", "kind": "masked-lm", "tap": {"layer": 2}, "weight": 1.0},
    {"name": "nsp", "kind": "next-sentence", "tap": {"layer": 2}, "weight": 1.0},
]


def read_batches():
    with open(os.path.join(HERE, "loss-curve-batches.safetensors.gz"), "rb") as file:
        a = load_safetensors(gzip.decompress(file.read()))
    for k in range(len(a["tokenBatchOffsets"]) - 1):
        def part(name, offsets):
            return a[name][a[offsets][k] : a[offsets][k + 1]].tolist()

        yield {
            "tokenIds": part("tokenIds", "tokenBatchOffsets"),
            "segmentIds": part("segmentIds", "tokenBatchOffsets"),
            "sequenceOffsets": part("sequenceOffsets", "sequenceBatchOffsets"),
            "labels": {
                "mlm": {"positions": part("labels.mlm.positions", "labels.mlm.offsets"),
                        "labels": part("labels.mlm.labels", "labels.mlm.offsets")},
                "nsp": {"labels": part("labels.nsp.labels", "labels.nsp.offsets")},
            },
        }


def curve(dtype, batches):
    e = SETTINGS["encoder"]
    config = small_config(e["layers"], e["hiddenSize"], e["heads"], e["intermediateSize"], e["vocabSize"], e["maxPositions"])
    model = Reference(config, HEADS).to(dtype)
    model.fill()
    optimizer = torch.optim.AdamW(
        model.optimizer_groups(SETTINGS["weightDecay"]), lr=SETTINGS["learningRate"],
        betas=(SETTINGS["beta1"], SETTINGS["beta2"]), eps=SETTINGS["epsilon"],
    )
    losses = {"mlm": [], "nsp": []}
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = SETTINGS["learningRate"] * min(1.0, (step + 1) / SETTINGS["warmupSteps"])
        optimizer.zero_grad()
        _, _, parts, total = model(batch)
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS["maxGradNorm"])
        optimizer.step()
        for name, loss in parts.items():
            losses[name].append(loss.item())
    return losses


def main():
    torch.set_num_threads(1)  # the model is tiny
    batches = list(read_batches())
    single, double = curve(torch.float32, batches), curve(torch.float64, batches)
    for name in single:
        gap = np.abs(np.array(single[name]) - np.array(double[name]))
        print(name, "first", single[name][0], "last ten", np.mean(single[name][-10:]), "float32 - float64:", gap.max())
    losses = {name: [round(value, 7) for value in values] for name, values in single.items()}
    with open(os.path.join(HERE, "loss_curve.json"), "w") as file:
        json.dump({"settings": SETTINGS, "heads": HEADS, "losses": losses}, file)
        file.write("\n")


if __name__ == "__main__":
    main()
