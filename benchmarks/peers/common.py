"""What the PyTorch peers share: the batch file, the command loop, memory and the machine's matmul rate.

A peer is a long-lived process. It reads one JSON command a line on stdin and answers one JSON line on stdout, so that the
driver (benchmarks/train.ts) can let ours and the peers take turns in short rounds.
"""

import json
import os
import statistics
import sys
import time

import numpy as np
import torch
from safetensors.numpy import load_file

SHAPES = {
    "mini": {"hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 1024},
    "small": {"hidden_size": 512, "num_hidden_layers": 4, "num_attention_heads": 8, "intermediate_size": 2048},
    "base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
}
VOCABULARY = 30522
# Shapes whose batches are made with a vocabulary of their own.
VOCABULARIES = {"mini": 8192}
MAX_LENGTH = 128
LEARNING_RATE = 1e-4
WEIGHT_DECAY = 0.01
MAX_GRAD_NORM = 1.0


class Batches:
    """Packed batches of a file written by benchmarks/batch-file.ts; index wraps around."""

    def __init__(self, path):
        self.arrays = load_file(path)
        self.count = len(self.arrays["tokenBatchOffsets"]) - 1

    def __getitem__(self, index):
        a, k = self.arrays, index % self.count
        tokens = slice(a["tokenBatchOffsets"][k], a["tokenBatchOffsets"][k + 1])
        sequences = slice(a["sequenceBatchOffsets"][k], a["sequenceBatchOffsets"][k + 1])
        mlm = slice(a["labels.mlm.offsets"][k], a["labels.mlm.offsets"][k + 1])
        next_sentence = None
        if "labels.nsp.offsets" in a:
            nsp = slice(a["labels.nsp.offsets"][k], a["labels.nsp.offsets"][k + 1])
            next_sentence = a["labels.nsp.labels"][nsp].astype(np.int64)
        return {
            "tokenIds": a["tokenIds"][tokens].astype(np.int64),
            "segmentIds": a["segmentIds"][tokens].astype(np.int64),
            "offsets": a["sequenceOffsets"][sequences].astype(np.int64),
            "positions": a["labels.mlm.positions"][mlm].astype(np.int64),
            "targets": a["labels.mlm.labels"][mlm].astype(np.int64),
            "nextSentence": next_sentence,
        }

    def limits(self):
        """Most sequences and most masked positions of any batch."""
        a = self.arrays
        return (
            int(np.diff(a["sequenceBatchOffsets"]).max()) - 1,
            int(np.diff(a["labels.mlm.offsets"]).max()),
        )


def padded(batch, rows=None, width=None):
    """(ids, segments, attention mask, dense MLM labels, NSP labels) of shape (B, S); S = longest unless given."""
    offsets = batch["offsets"]
    lengths = np.diff(offsets)
    count = len(lengths)
    shape = (rows or count, width or int(lengths.max()))
    ids, segments, mask = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    labels = np.full(shape, -100, dtype=np.int64)
    packed_labels = np.full(len(batch["tokenIds"]), -100, dtype=np.int64)
    packed_labels[batch["positions"]] = batch["targets"]
    for row, length in enumerate(lengths):
        span = slice(offsets[row], offsets[row + 1])
        ids[row, :length] = batch["tokenIds"][span]
        segments[row, :length] = batch["segmentIds"][span]
        mask[row, :length] = 1
        labels[row, :length] = packed_labels[span]
    # A row without a token would give softmax over nothing: let its first place see itself.
    mask[count:, 0] = 1
    next_sentence = np.full(shape[0], -100, dtype=np.int64)
    next_sentence[:count] = batch["nextSentence"]
    return [torch.from_numpy(x) for x in (ids, segments, mask, labels, next_sentence)]


def decay_groups(model):
    decays, stays = [], []
    for name, parameter in model.named_parameters():
        (stays if parameter.ndim < 2 else decays).append(parameter)
    return [{"params": decays, "weight_decay": WEIGHT_DECAY}, {"params": stays, "weight_decay": 0.0}]


def peak_rss_bytes():
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return 0


def gemm_gflops(precision, tokens=2048, inputs=768, outputs=3072, repeats=15):
    """The machine's matmul rate in a precision: the ceiling that shares are quoted against."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    x = torch.randn(tokens, inputs, dtype=dtype)
    w = torch.randn(outputs, inputs, dtype=dtype)
    times = []
    for _ in range(repeats + 3):
        start = time.perf_counter()
        torch.nn.functional.linear(x, w)
        times.append(time.perf_counter() - start)
    return 2 * tokens * inputs * outputs / statistics.median(times[3:]) / 1e9


def serve(step, batches, slots, facts=None):
    """Runs the command loop. `step(k)` trains on batch k and returns the loss; `slots(k)` is the padded token count; `facts` join the first answer."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value):
        out.write(json.dumps(value) + "\n")
        out.flush()

    answer({"ready": True, "torch": torch.__version__, "threads": torch.get_num_threads(), **(facts or {})})
    for line in sys.stdin:
        command = json.loads(line)
        if command["command"] == "steps":
            seconds, tokens, used, loss = [], 0, 0, float("nan")
            for k in range(command["first"], command["first"] + command["count"]):
                start = time.perf_counter()
                loss = step(k)
                seconds.append(time.perf_counter() - start)
                tokens += len(batches[k]["tokenIds"])
                used += slots(k)
            answer({"seconds": seconds, "tokens": tokens, "slots": used, "loss": loss})
        elif command["command"] == "memory":
            answer({"peakRssBytes": peak_rss_bytes()})
        elif command["command"] == "gemm":
            answer({"gflops": gemm_gflops(command["precision"])})
        else:
            answer({"bye": True})
            return
