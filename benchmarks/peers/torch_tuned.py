"""Peer: the same pre-training step, tuned by hand in PyTorch as far as it goes without leaving Python.

Against the plain loop: no padding outside attention (tokens are packed, sequences are gathered for attention only, and so
are their gradients), logits at masked positions only, one matrix for query, key and value, fused AdamW, bf16 autocast,
torch.compile over one static shape, huge pages for the allocator (set by the driver). Attention is two products and a softmax:
at 128 tokens scaled_dot_product_attention on the CPU, its backward above all, is slower than these (docs/performance.md).
"""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from common import LEARNING_RATE, MAX_GRAD_NORM, MAX_LENGTH, SHAPES, VOCABULARIES, VOCABULARY, Batches, decay_groups, serve


class Rows(torch.autograd.Function):
    """x[places], where a real row of x is taken exactly once, at place `back` of the result: so the gradient is a gather, too.

    The gradient that indexing has adds up row by row with atomic additions. Rows that are not `real` (R, 1) get none.
    """

    @staticmethod
    def forward(ctx, x, places, back, real):
        ctx.save_for_backward(back, real)
        return x.index_select(0, places)

    @staticmethod
    def backward(ctx, gradient):
        back, real = ctx.saved_tensors
        return torch.where(real, gradient.index_select(0, back), 0), None, None, None


class Block(nn.Module):
    def __init__(self, hidden, heads, intermediate):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.norm1 = nn.LayerNorm(hidden, eps=1e-12)
        self.up = nn.Linear(hidden, intermediate)
        self.down = nn.Linear(intermediate, hidden)
        self.norm2 = nn.LayerNorm(hidden, eps=1e-12)

    def forward(self, x, pad, unpad, mask, real_tokens, real_places):
        rows, width = pad.shape
        qkv = Rows.apply(self.qkv(x), pad.view(-1), unpad, real_tokens)
        query, key, value = qkv.view(rows, width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        y = scores.float().masked_fill(~mask, float("-inf")).softmax(-1).to(value.dtype) @ value
        y = Rows.apply(y.transpose(1, 2).reshape(rows * width, -1), unpad, pad.view(-1), real_places)
        x = self.norm1(x + self.out(y))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class PackedBert(nn.Module):
    def __init__(self, vocabulary, hidden_size, num_hidden_layers, num_attention_heads, intermediate_size):
        super().__init__()
        self.word = nn.Embedding(vocabulary, hidden_size)
        self.position = nn.Embedding(512, hidden_size)
        self.segment = nn.Embedding(2, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=1e-12)
        self.blocks = nn.ModuleList(
            Block(hidden_size, num_attention_heads, intermediate_size) for _ in range(num_hidden_layers)
        )
        self.transform = nn.Linear(hidden_size, hidden_size)
        self.transform_norm = nn.LayerNorm(hidden_size, eps=1e-12)
        self.decoder_bias = nn.Parameter(torch.zeros(vocabulary))
        self.pooler = nn.Linear(hidden_size, hidden_size)
        self.next_sentence = nn.Linear(hidden_size, 2)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(
        self, ids, segments, places, pad, unpad, mask, real_tokens, real_places, positions, targets, first, next_sentence
    ):
        x = self.norm(self.word(ids) + self.position(places) + self.segment(segments))
        for block in self.blocks:
            x = block(x, pad, unpad, mask, real_tokens, real_places)
        u = self.transform_norm(F.gelu(self.transform(x[positions])))
        logits = F.linear(u, self.word.weight, self.decoder_bias)
        masked_loss = F.cross_entropy(logits.float(), targets, ignore_index=-100)
        pooled = torch.tanh(self.pooler(x[first]))
        return masked_loss + F.cross_entropy(self.next_sentence(pooled).float(), next_sentence, ignore_index=-100)


def packed(batch, tokens, rows, masked):
    """Static shapes: token, sequence and masked-position counts are filled up to the file's largest."""
    offsets, total = batch["offsets"], len(batch["tokenIds"])
    lengths = np.diff(offsets)
    count = len(lengths)
    ids, segments, places, unpad = (np.zeros(tokens, dtype=np.int64) for _ in range(4))
    ids[:total], segments[:total] = batch["tokenIds"], batch["segmentIds"]
    pad = np.full((rows, MAX_LENGTH), total if total < tokens else 0, dtype=np.int64)
    real_places = np.zeros((rows, MAX_LENGTH), dtype=bool)
    for row, length in enumerate(lengths):
        span = slice(offsets[row], offsets[row + 1])
        places[span] = np.arange(length)
        pad[row, :length] = np.arange(offsets[row], offsets[row + 1])
        unpad[span] = row * MAX_LENGTH + np.arange(length)
        real_places[row, :length] = True
    mask = real_places[:, None, None, :].copy()
    # A row without a token would give softmax over nothing: let its first place be seen.
    mask[count:, ..., 0] = True
    real_tokens = (np.arange(tokens) < total)[:, None]
    positions, targets = np.zeros(masked, dtype=np.int64), np.full(masked, -100, dtype=np.int64)
    positions[: len(batch["positions"])], targets[: len(batch["targets"])] = batch["positions"], batch["targets"]
    first, next_sentence = np.zeros(rows, dtype=np.int64), np.full(rows, -100, dtype=np.int64)
    first[:count], next_sentence[:count] = offsets[:-1], batch["nextSentence"]
    arrays = (
        ids, segments, places, pad, unpad, mask, real_tokens, real_places.reshape(-1, 1), positions, targets, first, next_sentence
    )
    return [torch.from_numpy(array) for array in arrays]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--batches", required=True)
    arguments.add_argument("--shape", choices=SHAPES, default="small")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    batches = Batches(options.batches)
    rows, masked = batches.limits()
    tokens = max(len(batches[k]["tokenIds"]) for k in range(batches.count))
    model = PackedBert(VOCABULARIES.get(options.shape, VOCABULARY), **SHAPES[options.shape]).train()
    forward = torch.compile(model)
    optimizer = torch.optim.AdamW(decay_groups(model), lr=LEARNING_RATE, fused=True)
    parameters = list(model.parameters())

    def step(k):
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            loss = forward(*packed(batches[k], tokens, rows, masked))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    serve(step, batches, lambda k: tokens)


if __name__ == "__main__":
    main()
