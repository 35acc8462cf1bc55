"""Milliseconds a training step of post-LN BERT blocks by length of the sequences, with two attentions of PyTorch.

python attention.py --lengths 32,64,… --tokens 2048 --steps 3 [--threads 2]    prints one JSON line

`flash`: scaled_dot_product_attention (on the CPU libtorch's flash kernel, no matrix of scores); `scores`: matmul, softmax, matmul. float32, no dropout,
sequences of one length, so that nothing is padded. 4 blocks of 512 with 8 heads, forward and backward, no optimizer.
"""

import argparse
import json
import time

import torch
from torch import nn
from torch.nn import functional as F

LAYERS, HIDDEN, HEADS, INNER, VOCABULARY = 4, 512, 8, 2048, 1000


class Block(nn.Module):
    def __init__(self, flash):
        super().__init__()
        self.flash = flash
        self.qkv, self.out = nn.Linear(HIDDEN, 3 * HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.up, self.down = nn.Linear(HIDDEN, INNER), nn.Linear(INNER, HIDDEN)
        self.norms = nn.ModuleList([nn.LayerNorm(HIDDEN), nn.LayerNorm(HIDDEN)])

    def forward(self, x):
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, HEADS, HIDDEN // HEADS).permute(2, 0, 3, 1, 4)
        if self.flash:
            context = F.scaled_dot_product_attention(q, k, v)
        else:
            context = torch.softmax(q @ k.transpose(-1, -2) / (HIDDEN // HEADS) ** 0.5, -1) @ v
        x = self.norms[0](x + self.out(context.transpose(1, 2).reshape(batch, length, HIDDEN)))
        return self.norms[1](x + self.down(F.gelu(self.up(x))))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lengths", required=True)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    found = {}
    for name in ("flash", "scores"):
        words = nn.Embedding(VOCABULARY, HIDDEN)
        blocks = nn.Sequential(*[Block(name == "flash") for _ in range(LAYERS)])
        for length in map(int, options.lengths.split(",")):
            ids = torch.randint(VOCABULARY, (options.tokens // length, length))
            times = []
            for _ in range(options.steps + 1):
                start = time.perf_counter()
                blocks(words(ids)).square().mean().backward()
                times.append(1000 * (time.perf_counter() - start))
            found.setdefault(name, {})[str(length)] = sorted(times[1:])[len(times[1:]) // 2]
    print(json.dumps(found))


main()
