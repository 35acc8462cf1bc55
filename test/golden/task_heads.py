"""Goldens of the task heads: losses, scores and the gradient of every parameter, in float64.

  python test/golden/task_heads.py        writes test/golden/task_heads.json.gz

The encoder is transformers' BertModel; each sequence goes through a head by itself, without packing or padding. SAN's GRU is
torch's own. Weights are made by a formula (reference.py). tests: 16.task-heads.test.ts

Semantics (Liu et al. 2019, arXiv 1901.11504, section 3, and its published code; Devlin et al. 2018 for span and tagger):
  pooled          tanh(W h_first + b), of the head's own pooler, of the shared one, or h_first itself
  classifier      cross-entropy of W pooled + b;  regressor (y - w pooled - b)^2;  tagger: cross-entropy of W h_token + b
  ranker          -log softmax over the candidates of a question, of the right one; summed over questions
  span            (cross-entropy of the start + that of the last token) / 2, each over the sequence's own tokens
  san             see `san` below
Loss of a head = its sum / its count; the total is the sum of weight x loss.
"""

import gzip
import json
import os

import numpy as np
import torch
import torch.nn.functional as F
from transformers import BertModel

from reference import NO_LABEL, digest, formula, small_config

HERE = os.path.dirname(os.path.abspath(__file__))
LENGTHS = [19, 4, 33, 9, 26, 13, 3]
VOCAB = 67


def san(module, h, segments, steps):
    """log of the mean distribution, for one sequence: h (S, H)."""
    hypothesis, premise = h[segments == 0], h[segments == 1]
    alpha = torch.softmax(module.start(hypothesis).squeeze(1), 0)
    state = alpha @ hypothesis
    distributions = []
    for _ in range(steps):
        beta = torch.softmax(premise @ module.attention(state), 0)
        x = beta @ premise
        merged = torch.cat([x, state, (x - state).abs(), x * state])
        distributions.append(torch.softmax(module.classifier(merged), 0))
        gru = module.gru
        state = torch.gru_cell(x[None], state[None], gru.input.weight, gru.hidden.weight, gru.input.bias, gru.hidden.bias)[0]
    return torch.log(torch.stack(distributions).mean(0).clamp(min=1e-7))


class TaskHeads(torch.nn.Module):
    def __init__(self, bert_config, heads, mixes):
        super().__init__()
        self.bert = BertModel(bert_config, add_pooling_layer=False)
        self.configs, self.mix_configs = heads, mixes
        hidden, layers = bert_config.hidden_size, bert_config.num_hidden_layers
        self.mixes = torch.nn.ModuleDict()
        for mix in mixes:
            module = torch.nn.Module()
            module.weights = torch.nn.Parameter(torch.zeros(layers + 1 if mix["includeEmbeddings"] else layers))
            module.gamma = torch.nn.Parameter(torch.ones(1))
            self.mixes[mix["name"]] = module
        if any(head.get("pooler") == "shared" for head in heads):
            self.pooler = torch.nn.Module()
            self.pooler.dense = torch.nn.Linear(hidden, hidden)
        self.heads = torch.nn.ModuleDict()
        for head in heads:
            module = torch.nn.Module()
            outputs = head.get("classes", 2 if head["kind"] == "span" else 1)
            if head.get("pooler") == "own":
                module.pooler = torch.nn.Linear(hidden, head.get("poolerSize", hidden))
            if head["kind"] == "san":
                module.start = torch.nn.Linear(hidden, 1)
                module.attention = torch.nn.Linear(hidden, hidden)
                module.gru = torch.nn.Module()
                module.gru.input = torch.nn.Linear(hidden, 3 * hidden)
                module.gru.hidden = torch.nn.Linear(hidden, 3 * hidden)
            module.classifier = torch.nn.Linear(4 * hidden if head["kind"] == "san" else head.get("poolerSize", hidden), outputs)
            self.heads[head["name"]] = module
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(torch.from_numpy(formula(name, tuple(parameter.shape))))

    def tapped(self, tap, layers):
        """layers: the states of one sequence by layer."""
        if "mix" not in tap:
            return layers[tap["layer"]]
        config = next(mix for mix in self.mix_configs if mix["name"] == tap["mix"])
        states = layers if config["includeEmbeddings"] else layers[1:]
        if config["layerNorm"]:
            states = [F.layer_norm(state, state.shape[-1:], eps=1e-12) for state in states]
        module = self.mixes[tap["mix"]]
        weights = torch.softmax(module.weights, 0)
        return module.gamma * sum(weights[j] * state for j, state in enumerate(states))

    def forward(self, batch):
        offsets = batch["sequenceOffsets"]
        sequences = []
        for b in range(len(offsets) - 1):
            part = slice(offsets[b], offsets[b + 1])
            segments = torch.tensor(batch["segmentIds"][part])
            ids = torch.tensor(batch["tokenIds"][part])
            states = self.bert(ids[None], token_type_ids=segments[None], output_hidden_states=True).hidden_states
            sequences.append(([state[0] for state in states], segments))
        logits, losses = {}, {}
        for head in self.configs:
            h = [(self.tapped(head["tap"], states), segments) for states, segments in sequences]
            logits[head["name"]], losses[head["name"]] = self.run(head, h, batch)
        total = sum(head["weight"] * losses[head["name"]] for head in self.configs)
        return logits, losses, total

    def run(self, head, sequences, batch):
        module, kind = self.heads[head["name"]], head["kind"]
        labels = batch["labels"][head["name"]]
        offsets = batch["sequenceOffsets"]
        rows = [i for i, label in enumerate(labels["labels"]) if label != NO_LABEL]
        if kind == "tagger":
            states = torch.cat([h for h, _ in sequences])
            y = torch.stack([module.classifier(states[labels["positions"][i]]) for i in rows])
            return y, F.cross_entropy(y, torch.tensor([labels["labels"][i] for i in rows]))
        if kind == "span":
            scores = [module.classifier(h) for h, _ in sequences]
            loss = 0
            for b in rows:
                start = torch.tensor(labels["spanStarts"][b] - offsets[b])
                last = torch.tensor(labels["spanEnds"][b] - 1 - offsets[b])
                loss = loss + (F.cross_entropy(scores[b][:, 0], start) + F.cross_entropy(scores[b][:, 1], last)) / 2
            return torch.cat(scores), loss / len(rows)
        if kind == "san":
            y = torch.stack([san(module, *sequences[b], head["steps"]) for b in rows])
            return y, F.cross_entropy(y, torch.tensor([labels["labels"][b] for b in rows]))
        pooled = [sequences[b][0][0] for b in rows]
        if head["pooler"] != "none":
            pooler = module.pooler if head["pooler"] == "own" else self.pooler.dense
            pooled = [torch.tanh(pooler(x)) for x in pooled]
        y = torch.stack([module.classifier(x) for x in pooled])
        if kind == "classifier":
            return y, F.cross_entropy(y, torch.tensor([labels["labels"][b] for b in rows]))
        if kind == "regressor":
            values = torch.tensor([labels["values"][b] for b in rows], dtype=y.dtype)
            return y, ((values - y[:, 0]) ** 2).mean()
        loss, groups = 0, sorted({labels["groups"][b] for b in rows})
        for group in groups:
            members = [i for i, b in enumerate(rows) if labels["groups"][b] == group]
            right = [i for i in members if labels["labels"][rows[i]] == 1]
            assert len(right) == 1
            loss = loss + torch.logsumexp(y[members, 0], 0) - y[right[0], 0]
        return y, loss / len(groups)


def heads_of(tap):
    base = {"tap": tap, "dropout": 0}
    return [
        {**base, "name": "classes", "kind": "classifier", "weight": 1, "classes": 3, "pooler": "own"},
        {**base, "name": "number", "kind": "regressor", "weight": 0.5, "pooler": "own"},
        {**base, "name": "answer", "kind": "san", "weight": 1.5, "classes": 3, "steps": 5, "predictionDropout": 0},
        {**base, "name": "rank", "kind": "ranker", "weight": 0.75, "pooler": "own"},
        {**base, "name": "place", "kind": "span", "weight": 1.25},
        {**base, "name": "tags", "kind": "tagger", "weight": 0.25, "classes": 5},
    ]


def cases():
    top, mid = {"layer": 3}, {"layer": 1}
    alone = {head["kind"]: {"heads": [head], "mixes": []} for head in heads_of(top)}
    poolers = [dict(head, pooler=use) for head, use in zip([h for h in heads_of(top) if "pooler" in h], ("shared", "none", "shared"))]
    sized = [dict(head, poolerSize=size) for head, size in zip([h for h in heads_of(mid) if "pooler" in h], (48, 1, 7))]
    one_step = [dict(heads_of(top)[2], steps=1, classes=2)]
    mixes = [
        {"name": "all", "includeEmbeddings": True, "layerNorm": True, "init": "uniform"},
        {"name": "blocks", "includeEmbeddings": False, "layerNorm": False, "init": "uniform"},
    ]
    mixed = heads_of({"mix": "all"})
    for head in mixed[3:]:
        head["tap"] = {"mix": "blocks"}
    return {
        **alone,
        "shared and no pooler": {"heads": poolers, "mixes": []},
        "poolers of other sizes": {"heads": sized, "mixes": []},
        "san, one step, two classes": {"heads": one_step, "mixes": []},
        "every head on a lower layer": {"heads": heads_of(mid), "mixes": []},
        "every head on the embeddings": {"heads": heads_of({"layer": 0}), "mixes": []},
        "every head on a mix": {"heads": mixed, "mixes": mixes},
    }


def make_batch(rng):
    offsets = [0, *np.cumsum(LENGTHS).tolist()]
    total, count = offsets[-1], len(LENGTHS)
    ids = rng.integers(5, VOCAB, total)
    segments = np.zeros(total, dtype=int)
    for b, length in enumerate(LENGTHS):
        # Hypotheses are short beside their premises in some pairs and long in others.
        segments[offsets[b] + max(1, [length // 3, length // 2, 2 * length // 3][b % 3]) : offsets[b + 1]] = 1
    starts, ends = [], []
    for b, length in enumerate(LENGTHS):
        start = offsets[b] if b % 3 == 2 else offsets[b] + int(rng.integers(1, length))  # every third has no answer
        starts.append(start)
        ends.append(start + 1 if b % 3 == 2 else int(rng.integers(start + 1, offsets[b + 1] + 1)))
    positions = np.sort(rng.choice(total, total // 3, replace=False))
    tags = rng.integers(0, 5, len(positions))
    tags[::4] = NO_LABEL
    none = NO_LABEL
    labels = {
        "classes": {"labels": [2, 0, none, 1, 1, 0, none]},
        "number": {"labels": [0, none, 0, 0, none, 0, 0], "values": [1.25, 99, -0.5, 3, 77, 0, 0.75]},
        "answer": {"labels": [1, 0, 1, none, 0, 1, 1]},
        # Groups of three, one and two; one candidate takes no part.
        "rank": {"labels": [0, 1, 0, 1, none, 0, 1], "groups": [7, 7, 7, 3, 0, 12, 12]},
        "place": {"labels": [0, 0, 0, none, 0, 0, 0], "spanStarts": starts, "spanEnds": ends},
        "tags": {"labels": tags.tolist(), "positions": positions.tolist()},
    }
    return {"tokenIds": ids.tolist(), "segmentIds": segments.tolist(), "sequenceOffsets": offsets, "labels": labels}


def main():
    rng = np.random.default_rng(20190131)
    config = small_config(layers=3, hidden=32, heads=2, intermediate=48, vocab=VOCAB, positions=40)
    batch = make_batch(rng)
    output = {
        "encoder": config.to_dict(), "batch": batch, "cases": {},
        "versions": {"torch": torch.__version__.split("+")[0], "numpy": np.__version__},
    }
    output["encoder"].pop("_name_or_path", None)
    for name, case in cases().items():
        model = TaskHeads(config, case["heads"], case["mixes"]).double()
        logits, losses, total = model(batch)
        total.backward()
        output["cases"][name] = {
            **case,
            "losses": {n: loss.item() for n, loss in losses.items()},
            "logits": {n: {"shape": list(y.shape), "values": y.detach().reshape(-1).tolist()} for n, y in logits.items()},
            "gradients": {
                n: digest(p.grad if p.grad is not None else torch.zeros_like(p)) for n, p in model.named_parameters()
            },
        }
        print(name, {n: round(loss.item(), 6) for n, loss in losses.items()}, flush=True)
    # mtime 0: the same figures give the same bytes.
    path = os.path.join(HERE, "task_heads.json.gz")
    with open(path, "wb") as file:
        file.write(gzip.compress(json.dumps(output, separators=(",", ":")).encode(), 9, mtime=0))
    print("bytes", os.path.getsize(path))


if __name__ == "__main__":
    main()
