"""Goldens of the parser head: losses, answers and the gradient of every parameter, in float64.

  python test/golden/parser.py        writes test/golden/parser.json.gz

The encoder is transformers' BertModel; each sentence goes through the head by itself, arc by arc, without packing or padding. Weights
are made by a formula (reference.py). tests: 19.parser-head.test.ts

Semantics (Dozat & Manning 2017, arXiv 1611.01734, equations 4 to 6 and section 3.2, with GELU):
  d, h      GELU(W x + b) of a word as dependent and of a word or the root as head, once for arcs and once for labels
  arc       s(i, j) = d_i' U h_j + u' h_j, j = root, 1 .. W; our matrix is U transposed, our bias u
  label     s(i, j, r) = d_i' U_r h_j + u_r' h_j + w_r' d_i + b_r
  tag       T x_i + t
  loss      mean over the labelled words of CE(arc) + CE(label at the right head), plus the tagged words' CE over the same count
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
# Two sequences have no word; lengths differ so that groups of like length and padding take part.
LENGTHS = [19, 4, 33, 9, 26, 1, 3, 12, 2]
VOCAB = 67
RELATIONS, TAGS = 5, 4


class Parser(torch.nn.Module):
    def __init__(self, bert_config, head, mixes):
        super().__init__()
        self.bert = BertModel(bert_config, add_pooling_layer=False)
        self.config, self.mix_configs = head, mixes
        hidden, layers = bert_config.hidden_size, bert_config.num_hidden_layers
        self.mixes = torch.nn.ModuleDict()
        for mix in mixes:
            module = torch.nn.Module()
            module.weights = torch.nn.Parameter(torch.zeros(layers + 1 if mix["includeEmbeddings"] else layers))
            module.gamma = torch.nn.Parameter(torch.ones(1))
            self.mixes[mix["name"]] = module
        module = torch.nn.Module()
        for part, size, outputs in (("arc", head["arcSize"], 1), ("label", head["labelSize"], head["classes"])):
            scorer = torch.nn.Module()
            scorer.dependent = torch.nn.Linear(hidden, size)
            scorer.head = torch.nn.Linear(hidden, size)
            scorer.product = torch.nn.Linear(size, outputs * size)
            if part == "label":
                scorer.classifier = torch.nn.Linear(size, outputs)
            setattr(module, part, scorer)
        if head.get("tags"):
            module.tagger = torch.nn.Linear(hidden, head["tags"])
        self.heads = torch.nn.ModuleDict({head["name"]: module})
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(torch.from_numpy(formula(name, tuple(parameter.shape))))

    def tapped(self, layers):
        tap = self.config["tap"]
        if "mix" not in tap:
            return layers[tap["layer"]]
        config = next(mix for mix in self.mix_configs if mix["name"] == tap["mix"])
        states = layers if config["includeEmbeddings"] else layers[1:]
        module = self.mixes[tap["mix"]]
        weights = torch.softmax(module.weights, 0)
        return module.gamma * sum(weights[j] * state for j, state in enumerate(states))

    def arc_score(self, d, h):
        product = self.heads[self.config["name"]].arc.product
        U, u = product.weight.t(), product.bias
        return torch.einsum("a,ab,b->", d, U, h) + u @ h

    def label_scores(self, d, h):
        scorer = self.heads[self.config["name"]].label
        size = self.config["labelSize"]
        U = scorer.product.weight.view(-1, size, size)  # [r, b, a]
        u = scorer.product.bias.view(-1, size)
        return torch.einsum("a,rba,b->r", d, U, h) + u @ h + scorer.classifier.weight @ d + scorer.classifier.bias

    def forward(self, batch):
        module = self.heads[self.config["name"]]
        labels = batch["labels"][self.config["name"]]
        offsets = batch["sequenceOffsets"]
        loss, count, arcs, best, tags = 0, 0, [], [], []
        for b in range(len(offsets) - 1):
            part = slice(offsets[b], offsets[b + 1])
            ids, segments = torch.tensor(batch["tokenIds"][part]), torch.tensor(batch["segmentIds"][part])
            layers = self.bert(ids[None], token_type_ids=segments[None], output_hidden_states=True).hidden_states
            states = self.tapped([layer[0] for layer in layers])
            words = [i for i, p in enumerate(labels["positions"]) if offsets[b] <= p < offsets[b + 1]]
            x = [states[labels["positions"][i] - offsets[b]] for i in words]
            candidates = [states[0], *x]
            for number, (i, word) in enumerate(zip(words, x), start=1):
                d = F.gelu(module.arc.dependent(word))
                scores = torch.stack([self.arc_score(d, F.gelu(module.arc.head(other))) for other in candidates])
                e = F.gelu(module.label.dependent(word))
                relations = [self.label_scores(e, F.gelu(module.label.head(other))) for other in candidates]
                arcs += scores.tolist()
                best += [int(r.argmax()) for r in relations]
                margins = [(r.topk(2).values[0] - r.topk(2).values[1]).item() for r in relations]
                assert min(margins) > 1e-5, "a relation is chosen by a hair; other weights are needed"
                if self.config.get("tags"):
                    y = torch.log_softmax(module.tagger(word), 0)
                    tags.append([y.max().item(), int(y.argmax())])
                    if labels["tags"][i] != NO_LABEL:
                        loss = loss - y[labels["tags"][i]]
                if labels["labels"][i] == NO_LABEL:
                    continue
                head = labels["heads"][i]
                assert head != number
                count += 1
                loss = loss - torch.log_softmax(scores, 0)[head]
                loss = loss - torch.log_softmax(relations[head], 0)[labels["labels"][i]]
        answers = [list(pair) for pair in zip(arcs, best)] + tags
        return answers, loss / count


def head_of(tap, **more):
    return {"name": "parse", "kind": "parser", "tap": tap, "weight": 1.5, "dropout": 0, "classes": RELATIONS, "arcSize": 12,
            "labelSize": 7, **more}


def cases():
    mixes = [{"name": "all", "includeEmbeddings": True, "layerNorm": False, "init": "uniform"}]
    return {
        "top layer": {"heads": [head_of({"layer": 3})], "mixes": []},
        "lower layer, with tags": {"heads": [head_of({"layer": 1}, tags=TAGS)], "mixes": []},
        "mix with layer 0, with tags": {"heads": [head_of({"mix": "all"}, tags=TAGS)], "mixes": mixes},
    }


def make_batch(rng):
    offsets = [0, *np.cumsum(LENGTHS).tolist()]
    total = offsets[-1]
    positions, heads, labels = [], [], []
    for b, length in enumerate(LENGTHS):
        inner = list(range(offsets[b] + 1, offsets[b + 1]))  # the first token is the root
        words = sorted(rng.choice(inner, (2 * len(inner) + 2) // 3, replace=False).tolist()) if b != 6 and inner else []
        for number in range(1, len(words) + 1):
            others = [h for h in range(len(words) + 1) if h != number]
            heads.append(int(rng.choice(others)))
            labels.append(int(rng.integers(0, RELATIONS)))
        positions += words
    tags = rng.integers(0, TAGS, len(positions)).tolist()
    for i in range(2, len(positions), 5):
        labels[i] = NO_LABEL
        heads[i] = 99  # not looked at
    for i in range(1, len(positions), 7):
        tags[i] = NO_LABEL
    return {
        "tokenIds": rng.integers(5, VOCAB, total).tolist(),
        "segmentIds": [0] * total,
        "sequenceOffsets": offsets,
        "labels": {"parse": {"labels": labels, "positions": positions, "heads": heads, "tags": tags}},
    }


def main():
    rng = np.random.default_rng(16110173)
    config = small_config(layers=3, hidden=32, heads=2, intermediate=48, vocab=VOCAB, positions=40)
    batch = make_batch(rng)
    output = {
        "encoder": config.to_dict(), "batch": batch, "cases": {},
        "versions": {"torch": torch.__version__.split("+")[0], "numpy": np.__version__},
    }
    output["encoder"].pop("_name_or_path", None)
    for name, case in cases().items():
        model = Parser(config, case["heads"][0], case["mixes"]).double()
        answers, loss = model(batch)
        (case["heads"][0]["weight"] * loss).backward()
        output["cases"][name] = {
            **case,
            "losses": {"parse": loss.item()},
            "answers": {"shape": [len(answers), 2], "values": [value for row in answers for value in row]},
            "gradients": {
                n: digest(p.grad if p.grad is not None else torch.zeros_like(p)) for n, p in model.named_parameters()
            },
        }
        print(name, round(loss.item(), 6), len(answers), flush=True)
    # mtime 0: the same figures give the same bytes.
    path = os.path.join(HERE, "parser.json.gz")
    with open(path, "wb") as file:
        file.write(gzip.compress(json.dumps(output, separators=(",", ":")).encode(), 9, mtime=0))
    print("bytes", os.path.getsize(path))


if __name__ == "__main__":
    main()
