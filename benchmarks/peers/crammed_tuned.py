"""Peer: the training step of Crammed BERT, written from the paper (Geiping & Goldstein 2022, arXiv 2212.14034, section 4.2) and tuned by hand.

The model: pre-LN blocks, a GELU-gated feed-forward part that is not enlarged, no bias but the LayerNorms', sinusoidal positions with one
learned scale, a LayerNorm after the embeddings and one at the end, masked LM as a product with the word embeddings. Sequences have exactly
128 tokens, so no program pads or gathers anything, and every shape is static.

What makes it a rival: one matrix for query, key and value, SDPA without a mask, logits at the masked places alone, torch.compile over
forward and backward, fused AdamW, clipping by foreach, gradients set to None, huge pages for the allocator (set by the driver). The driver
tries the choices below, each in a process of its own, and takes the fastest for the precision:
  --compile    default, or max-autotune (which measures GEMM kernels), or none
  --attention  sdpa, or the plain products (faster than the CPU's flash kernel at some lengths)
  --embedding  leaf: the gradient of the looked-up rows is added to the tied matrix in place; tied: as autograd does it, by way of a
               matrix of zeros as large as the vocabulary
"""

import argparse
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from common import Batches, serve

LEARNING_RATE = 1e-4
WEIGHT_DECAY = 0.01
MAX_GRAD_NORM = 0.5


def no_bias(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


class Block(nn.Module):
    def __init__(self, hidden, heads, intermediate, attention):
        super().__init__()
        self.heads, self.attention = heads, attention
        self.norm1 = nn.LayerNorm(hidden, eps=1e-12)
        self.qkv = no_bias(hidden, 3 * hidden)
        self.out = no_bias(hidden, hidden)
        self.norm2 = nn.LayerNorm(hidden, eps=1e-12)
        self.up = no_bias(hidden, intermediate)
        self.down = no_bias(intermediate // 2, hidden)

    def forward(self, x):
        rows, width, hidden = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(rows, width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.attention == "sdpa":
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = torch.softmax((q @ k.transpose(-1, -2)) * (1 / math.sqrt(q.shape[-1])), -1) @ v
        x = x + self.out(y.transpose(1, 2).reshape(rows, width, hidden))
        value, gate = self.up(self.norm2(x)).chunk(2, dim=-1)
        return x + self.down(F.gelu(gate) * value)


class Crammed(nn.Module):
    """`rows` are the looked-up word embeddings, (B, S, H): the caller says how their gradient finds the matrix."""

    def __init__(self, vocabulary, layers, hidden, heads, intermediate, length, attention):
        super().__init__()
        self.word = nn.Parameter(torch.empty(vocabulary, hidden))
        self.scale = nn.Parameter(torch.tensor([1 / math.sqrt(hidden)]))
        self.norm = nn.LayerNorm(hidden, eps=1e-12)
        self.blocks = nn.ModuleList(Block(hidden, heads, intermediate, attention) for _ in range(layers))
        self.last = nn.LayerNorm(hidden, eps=1e-12)
        place = torch.arange(length)[:, None]
        step = torch.exp(torch.arange(0, hidden, 2) * (-math.log(10000.0) / hidden))
        table = torch.zeros(length, hidden)
        table[:, 0::2], table[:, 1::2] = torch.sin(place * step), torch.cos(place * step)
        self.register_buffer("table", table)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, rows, positions, targets):
        x = self.norm(rows + self.scale * self.table)
        for block in self.blocks:
            x = block(x)
        x = self.last(x).view(-1, x.shape[-1])[positions]
        return F.cross_entropy(F.linear(x, self.word).float(), targets)


def tensors(batch, length):
    """Every sequence is full and has as many masked places as the others."""
    ids = torch.from_numpy(batch["tokenIds"]).view(-1, length)
    if not np.array_equal(batch["offsets"], np.arange(0, ids.numel() + 1, length)):
        raise ValueError(f"sequences of exactly {length} tokens were expected")
    return ids, torch.from_numpy(batch["positions"]), torch.from_numpy(batch["targets"])


def groups(model):
    decays = [parameter for parameter in model.parameters() if parameter.ndim == 2]
    stays = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    return [{"params": decays, "weight_decay": WEIGHT_DECAY}, {"params": stays, "weight_decay": 0.0}]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--batches", required=True)
    for name in ("vocabulary", "layers", "hidden", "heads", "intermediate", "length"):
        arguments.add_argument(f"--{name}", type=int, required=True)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    arguments.add_argument("--compile", choices=["default", "max-autotune", "none"], default="default")
    arguments.add_argument("--attention", choices=["sdpa", "plain"], default="sdpa")
    arguments.add_argument("--embedding", choices=["leaf", "tied"], default="leaf")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    batches = Batches(options.batches)
    inputs = [tensors(batches[k], options.length) for k in range(batches.count)]
    model = Crammed(
        options.vocabulary, options.layers, options.hidden, options.heads, options.intermediate, options.length, options.attention
    ).train()
    modes = {"default": {}, "max-autotune": {"mode": "max-autotune-no-cudagraphs"}}
    forward = model if options.compile == "none" else torch.compile(model, **modes[options.compile])
    optimizer = torch.optim.AdamW(groups(model), lr=LEARNING_RATE, betas=(0.9, 0.98), eps=1e-12, fused=True)
    parameters = list(model.parameters())

    def step(k):
        ids, positions, targets = inputs[k % len(inputs)]
        leaf = options.embedding == "leaf"
        rows = F.embedding(ids, model.word.detach() if leaf else model.word)
        if leaf:
            rows.requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            loss = forward(rows, positions, targets)
        loss.backward()
        if leaf:
            model.word.grad.index_add_(0, ids.view(-1), rows.grad.view(-1, options.hidden))
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    facts = {"parameters": sum(parameter.numel() for parameter in parameters)}
    serve(step, batches, lambda k: inputs[k % len(inputs)][0].numel(), facts)


if __name__ == "__main__":
    main()
