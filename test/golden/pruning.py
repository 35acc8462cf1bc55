"""What 50 steps of pruning make of a small encoder: python test/golden/pruning.py writes pruning.json.gz (tests: 86.pruning.test.ts).

Methods as in Sanh, Wolf & Rush 2020 (arXiv 2005.07683) and the code published with it, written down here from their formulas, in
float64. W' = W * M in every linear layer of the blocks; embeddings stay as they are.

  magnitude      M = largest v of |W|, no scores
  movement       M = largest v of S; dL/dS = dL/dW' * W (straight through)
  soft-movement  M = [sigmoid(S) > tau], at least int(n / 200) + 1 of a matrix; the same gradient; penalty mean sigmoid(S)
  l0             M = clamp(1.2 s - 0.1, 0, 1), s = sigmoid((log u - log(1 - u) + S) * 3 / 2) in training, sigmoid(S) else;
                 penalty mean sigmoid(S - 2/3 log(0.1 / 1.1))

"Largest v" is round(v n) of a matrix, at least 1; equal scores are ordered by |W|, then by place. The penalty is the mean over
matrices. u is an input of both sides: 1/2 + 4 formula("<weight> <step>").
"""

import base64
import gzip
import json
import math
import os

import numpy as np
import torch
import torch.nn.functional as F

from post_ln import Parameters
from reference import NO_LABEL, digest, formula, random_batch

HERE = os.path.dirname(os.path.abspath(__file__))
ENCODER = {
    "vocabSize": 61, "layers": 2, "hiddenSize": 16, "heads": 2, "intermediateSize": 32, "maxPositions": 24, "segmentTypes": 2,
    "layerNormEpsilon": 1e-12,
}
HEAD = {"name": "nsp", "kind": "next-sentence", "tap": {"layer": 2}, "weight": 1}
TRAINING = {
    "steps": 50, "warmup": 5, "learningRate": 2e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weightDecay": 0.01,
    "maxGradNorm": 1.0,
}
PAUSES = {"initialWarmup": 1, "finalWarmup": 2}


def case(method, first, last, penalty=0, rate=1e-2):
    schedule = {"initialThreshold": first, "finalThreshold": last, "penalty": penalty, **PAUSES, "scoreLearningRate": rate}
    return {"method": method, "schedule": schedule}


CASES = {
    "magnitude": case("magnitude", 1, 0.25),
    "movement": case("movement", 1, 0.15),
    # The first masks are chosen among scores that are all 0.
    "movement, pruned from the first step": case("movement", 0.6, 0.1),
    "soft movement": case("soft-movement", 0, 0.5, penalty=3),
    "soft movement, down to what always stays": case("soft-movement", 0, 0.9, penalty=400),
    "l0": case("l0", 1, 1, penalty=0.2, rate=4e-1),
}
FIRST_SCORES = {"movement": 0.0, "soft-movement": 0.0, "l0": 2.197}


def cubic(schedule, t):
    """(threshold, lambda) after t steps."""
    first, last = schedule["initialThreshold"], schedule["finalThreshold"]
    total, unit = TRAINING["steps"], TRAINING["warmup"]
    before, after = schedule["initialWarmup"] * unit, schedule["finalWarmup"] * unit
    if t <= before:
        v = first
    elif t > total - after:
        v = last
    else:
        v = last + (first - last) * (1 - (t - before) / (total - before - after)) ** 3
    return v, schedule["penalty"] * v / last


def rate_factor(t):
    return t / TRAINING["warmup"] if t < TRAINING["warmup"] else (TRAINING["steps"] - t) / (TRAINING["steps"] - TRAINING["warmup"])


def largest(scores, weight, count):
    flat, size = scores.detach().numpy().reshape(-1), np.abs(weight.detach().numpy().reshape(-1))
    order = np.lexsort((np.arange(flat.size), -size, -flat))
    mask = np.zeros(flat.size)
    mask[order[:count]] = 1
    return torch.from_numpy(mask.reshape(scores.shape))


class Pruned(Parameters):
    """Parameters whose linear layers inside the blocks are masked."""

    def __init__(self, method):
        super().__init__()
        self.method, self.scores = method, {}
        self.threshold, self.step = 1.0, None  # step: None outside training

    def mask(self, name, weight):
        method, n = self.method, weight.numel()
        kept = min(n, max(1, math.floor(self.threshold * n + 0.5)))
        if method == "magnitude":
            return largest(weight.abs(), weight, kept)
        if name not in self.scores:
            self.scores[name] = torch.full(weight.shape, FIRST_SCORES[method], dtype=torch.float64, requires_grad=True)
        s = self.scores[name]
        if method == "l0":
            gate = torch.sigmoid(s)
            if self.step is not None:
                u = torch.from_numpy(0.5 + 4 * formula(f"{name} {self.step}", tuple(weight.shape))).clamp(1e-4, 1 - 1e-4)
                gate = torch.sigmoid((u.log() - (1 - u).log() + s) / (2 / 3))
            return (gate * 1.2 - 0.1).clamp(0, 1)
        if method == "movement":
            mask = largest(s, weight, kept)
        else:
            mask = (torch.sigmoid(s) > self.threshold).double()
            least = int(n / 200) + 1
            if mask.sum() < least:
                mask = largest(s, weight, least)
        return mask + (s - s.detach())

    def linear(self, name, x, out):
        weight = self(name + ".weight", out, x.shape[-1])
        if name.startswith("bert.encoder.layer."):
            weight = weight * self.mask(name + ".weight", weight)
        return x @ weight.T + self(name + ".bias", out)

    def penalty(self):
        shift = 2 / 3 * math.log(0.1 / 1.1) if self.method == "l0" else 0.0
        return sum(torch.sigmoid(s - shift).mean() for s in self.scores.values()) / len(self.scores)


def loss_of(p, batch):
    H, offsets = ENCODER["hiddenSize"], batch["sequenceOffsets"]
    lengths = [b - a for a, b in zip(offsets, offsets[1:])]
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    segments, real = torch.zeros_like(ids), torch.zeros(ids.shape, dtype=torch.bool)
    for i, length in enumerate(lengths):
        ids[i, :length] = torch.tensor(batch["tokenIds"][offsets[i] : offsets[i + 1]])
        segments[i, :length] = torch.tensor(batch["segmentIds"][offsets[i] : offsets[i + 1]])
        real[i, :length] = True
    mask = torch.zeros(ids.shape, dtype=torch.float64).masked_fill(~real, float("-inf"))[:, None, None, :]
    name = "bert.embeddings."
    h = (
        p(name + "word_embeddings.weight", ENCODER["vocabSize"], H)[ids]
        + p(name + "position_embeddings.weight", ENCODER["maxPositions"], H)[: ids.shape[1]]
        + p(name + "token_type_embeddings.weight", ENCODER["segmentTypes"], H)[segments]
    )
    h = p.norm(name + "LayerNorm", h, ENCODER["layerNormEpsilon"])
    for index in range(ENCODER["layers"]):
        h = p.block(f"bert.encoder.layer.{index}", h, mask, ENCODER, ENCODER["heads"])
    pooled = torch.tanh(p.linear("heads.nsp.pooler", h[:, 0], H))
    target = torch.tensor(batch["labels"]["nsp"]["labels"])
    return F.cross_entropy(p.linear("heads.nsp.classifier", pooled, 2), target, ignore_index=NO_LABEL)


def train(config, batches):
    method, schedule = config["method"], config["schedule"]
    p = Pruned(method)
    loss_of(p, batches[0])  # makes the parameters
    groups = {"decay": [], "plain": [], "scores": list(p.scores.values())}
    for name, value in p.values.items():
        # A key bias has no gradient but rounding; embeddings stay.
        if name.startswith("bert.embeddings.") or name.endswith("key.bias"):
            value.requires_grad_(False)
        else:
            groups["plain" if name.endswith("bias") or "LayerNorm" in name else "decay"].append(value)
    rate = TRAINING["learningRate"]
    optimizer = torch.optim.AdamW(
        [
            {"params": groups["decay"], "weight_decay": TRAINING["weightDecay"], "factor": 1.0},
            {"params": groups["plain"], "weight_decay": 0.0, "factor": 1.0},
            {"params": groups["scores"], "weight_decay": 0.0, "factor": schedule["scoreLearningRate"] / rate},
        ],
        lr=rate, betas=(TRAINING["beta1"], TRAINING["beta2"]), eps=TRAINING["epsilon"],
    )
    trained = [value for group in groups.values() for value in group]
    trace = []
    for step in range(TRAINING["steps"]):
        p.threshold, penalty = cubic(schedule, step)
        p.step = step
        for group in optimizer.param_groups:
            group["lr"] = rate * rate_factor(step) * group["factor"]
        optimizer.zero_grad()
        loss = loss_of(p, batches[step % len(batches)])
        (loss + penalty * p.penalty() if penalty else loss).backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, TRAINING["maxGradNorm"])
        optimizer.step()
        trace.append({"threshold": p.threshold, "penalty": penalty, "loss": loss.item(), "gradNorm": norm.item()})
    p.threshold, _ = cubic(schedule, TRAINING["steps"])
    p.step = None
    names = [name for name in p.values if name.startswith("bert.encoder.layer.") and p.values[name].dim() == 2]
    masks = {name: p.mask(name, p.values[name]).detach() for name in names}
    bits = np.packbits(np.concatenate([(masks[name] != 0).numpy().reshape(-1) for name in names]))
    kept = sum(int((masks[name] != 0).sum()) for name in names)
    return {
        **config,
        "trace": trace,
        "evaluation": [loss_of(p, batch).item() for batch in batches],
        "names": names,
        "density": kept / sum(masks[name].numel() for name in names),
        "masks": base64.b64encode(bits).decode(),
        "effective": {name: digest(p.values[name] * masks[name]) for name in names},
        "values": {name: digest(value) for name, value in p.values.items()},
        "scores": {name: digest(value) for name, value in p.scores.items()},
    }


def rounded(value):
    """Twelve digits: far below what is compared, and half the size."""
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list) else value


def main():
    torch.manual_seed(0)
    batches = [
        random_batch(np.random.default_rng(2005 + index), [11, 24, 5, 17, 8, 20], ENCODER["vocabSize"], [HEAD]) for index in range(3)
    ]
    cases = {}
    for name, config in CASES.items():
        cases[name] = train(config, batches)
        print(name, "density", cases[name]["density"], "losses", cases[name]["trace"][0]["loss"], cases[name]["trace"][-1]["loss"])
    output = {"encoder": ENCODER, "head": HEAD, "training": TRAINING, "batches": batches, "cases": cases}
    output["versions"] = {"torch": torch.__version__.split("+")[0]}
    with open(os.path.join(HERE, "pruning.json.gz"), "wb") as file:
        file.write(gzip.compress(json.dumps(rounded(output), separators=(",", ":")).encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
