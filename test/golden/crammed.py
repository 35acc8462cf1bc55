"""Goldens of the Crammed BERT encoder (Geiping & Goldstein 2022, arXiv 2212.14034, section 4.2), in float64.

  python test/golden/crammed.py        writes test/golden/crammed.json.gz

The encoder below is written from the paper's description: pre-LN, GELU-gated feed-forward part, no biases but the LayerNorms',
sinusoidal positions with one learned scale, LayerNorm after the embeddings and at the end. Heads, batches, weights by formula and
the digests are those of encoder.py and reference.py. tests: 40.goldens.test.ts
"""

import math
import os
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F

import encoder as golden
from reference import random_batch, small_config

HERE = os.path.dirname(os.path.abspath(__file__))


def no_bias(inputs, outputs):
    return torch.nn.Linear(inputs, outputs, bias=False)


class Block(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        hidden = config.hidden_size
        self.heads = config.num_attention_heads
        self.attention = torch.nn.Module()
        self.attention.LayerNorm = torch.nn.LayerNorm(hidden, eps=config.layer_norm_eps)
        self.attention.self = torch.nn.Module()
        for part in ("query", "key", "value"):
            setattr(self.attention.self, part, no_bias(hidden, hidden))
        self.attention.output = torch.nn.Module()
        self.attention.output.dense = no_bias(hidden, hidden)
        self.intermediate = torch.nn.Module()
        self.intermediate.LayerNorm = torch.nn.LayerNorm(hidden, eps=config.layer_norm_eps)
        self.intermediate.dense = no_bias(hidden, config.intermediate_size)
        self.output = torch.nn.Module()
        self.output.dense = no_bias(config.intermediate_size // 2, hidden)

    def forward(self, h, mask):
        x = self.attention.LayerNorm(h)
        count, length, hidden = x.shape
        q, k, v = (
            getattr(self.attention.self, part)(x).view(count, length, self.heads, -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(mask[:, None, None, :] == 0, float("-inf"))
        mixed = (torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(count, length, hidden)
        h = h + self.attention.output.dense(mixed)
        value, gate = self.intermediate.dense(self.intermediate.LayerNorm(h)).chunk(2, dim=-1)
        return h + self.output.dense(F.gelu(gate) * value)


class Crammed(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        hidden = config.hidden_size
        self.embeddings = torch.nn.Module()
        self.embeddings.word_embeddings = torch.nn.Embedding(config.vocab_size, hidden)
        self.embeddings.position_scale = torch.nn.Parameter(torch.tensor([1 / math.sqrt(hidden)]))
        self.embeddings.LayerNorm = torch.nn.LayerNorm(hidden, eps=config.layer_norm_eps)
        self.encoder = torch.nn.Module()
        self.encoder.layer = torch.nn.ModuleList([Block(config) for _ in range(config.num_hidden_layers)])
        self.encoder.LayerNorm = torch.nn.LayerNorm(hidden, eps=config.layer_norm_eps)
        place = torch.arange(config.max_position_embeddings, dtype=torch.float64)[:, None]
        step = torch.exp(torch.arange(0, hidden, 2, dtype=torch.float64) * (-math.log(10000.0) / hidden))
        table = torch.zeros(config.max_position_embeddings, hidden, dtype=torch.float64)
        table[:, 0::2] = torch.sin(place * step)
        table[:, 1::2] = torch.cos(place * step)
        self.table = table

    def forward(self, ids, attention_mask, token_type_ids, output_hidden_states):
        positions = self.embeddings.position_scale * self.table[: ids.shape[1]]
        h = self.embeddings.LayerNorm(self.embeddings.word_embeddings(ids) + positions)
        states = [h]
        for block in self.encoder.layer:
            h = block(h, attention_mask)
            states.append(h)
        states[-1] = self.encoder.LayerNorm(h)
        return SimpleNamespace(hidden_states=states)


def parameters(config):
    return sum(parameter.numel() for parameter in Crammed(config).parameters())


def main():
    torch.manual_seed(0)
    rng = np.random.default_rng(20221228)
    config = small_config()
    top = config.num_hidden_layers
    decoded = {"name": "mlm", "kind": "masked-lm", "tap": {"layer": top}, "weight": 1.0, "transform": False}
    cases = {
        "plain": [decoded, golden.nsp(top // 2, 0.7), golden.bshift("sentence", top // 2, "sentence", "mean", 0.5),
                  golden.bshift("token", 1, "token", "mean", 1.5)],
        "with BERT's head": [golden.mlm(top, 1.0, mode="concat", stopGradient=False), golden.nsp(top - 1, 0.7, read="mean")],
        "lower": [golden.mlm(top - 1)],
    }
    every = list({head["name"]: head for heads in cases.values() for head in heads}.values())
    batch = random_batch(rng, golden.LENGTHS, config.vocab_size, every)
    rows = [o for i in range(len(golden.LENGTHS)) for o in (batch["sequenceOffsets"][i], batch["sequenceOffsets"][i + 1] - 1)]
    encoder = config.to_dict() | {"model_type": "stratabert-crammed"}
    encoder.pop("_name_or_path", None)
    output = {
        "encoder": encoder, "batch": batch, "hiddenRows": rows, "cases": {}, "training": {},
        # 16 layers x 768, intermediate 3,072, vocabulary 32,768: the encoder of the paper, its decoder tied.
        "publishedShapeParameters": parameters(small_config(16, 768, 12, 3072, 32768)),
        "versions": {"torch": torch.__version__.split("+")[0], "numpy": np.__version__},
    }
    for name, heads in cases.items():
        result, states = golden.run_case(config, heads, batch, None, Crammed)
        output["cases"][name] = result
        output.setdefault("hidden", [golden.hidden_digest(state, rows) for state in states])
        print(name, {n: round(l, 6) for n, l in result["losses"].items()}, flush=True)
    lengths = [int(n) for n in rng.integers(4, 48, 4)]
    batches = [random_batch(rng, lengths, config.vocab_size, every) for _ in range(golden.ADAMW["batches"])]
    output["trainingBatches"] = batches
    output["training"]["plain"] = golden.run_training(config, cases["plain"], batches, None, golden.ADAMW, Crammed)
    print("parameters of the published shape", output["publishedShapeParameters"])
    golden.write(output, os.path.join(HERE, "crammed.json.gz"))


if __name__ == "__main__":
    main()
