"""Peer: transformers' BertForSequenceClassification, fine-tuned as most people do it.

Batches padded to their longest text, bf16 autocast, transformers' default optimizer (fused AdamW), linear schedule with warm-up. The
examples of each pass are those of the batch file. `--grouped` batches them by length as transformers' `group_by_length` does
(its own LengthGroupedSampler); the batches are then dealt so that every stretch of them holds short and long ones, which
changes the order of a pass alone and lets few steps tell the rate of many.
"""

import argparse
import os

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import BertForSequenceClassification, get_linear_schedule_with_warmup
from transformers.trainer_pt_utils import get_length_grouped_indices

from common import LEARNING_RATE, MAX_GRAD_NORM, decay_groups, serve

BATCH_SEQUENCES = 32
# The schedule's length: five passes.
EPOCHS = 5
GOLDEN = (5**0.5 - 1) / 2


def read_examples(path, head):
    """Every example of the file in its order: (token ids, where segment 1 begins, label); and the examples of each batch."""
    arrays = load_file(path)
    labels = arrays[f"labels.{head}.labels"]
    examples, batches = [], []
    token_starts, sequence_starts = arrays["tokenBatchOffsets"], arrays["sequenceBatchOffsets"]
    for k in range(len(token_starts) - 1):
        offsets = arrays["sequenceOffsets"][sequence_starts[k] : sequence_starts[k + 1]] + token_starts[k]
        first = len(examples)
        for begin, end in zip(offsets, offsets[1:]):
            border = int((arrays["segmentIds"][begin:end] == 0).sum())
            examples.append((arrays["tokenIds"][begin:end].astype(np.int64), border, int(labels[len(examples)])))
        batches.append(list(range(first, len(examples))))
    return examples, batches


def grouped(examples, batches, per_pass):
    """The examples of each pass in batches of like lengths."""
    regrouped = []
    for first in range(0, len(batches), per_pass):
        members = [example for batch in batches[first : first + per_pass] for example in batch]
        lengths = [len(examples[example][0]) for example in members]
        order = get_length_grouped_indices(lengths, BATCH_SEQUENCES, generator=torch.Generator().manual_seed(first))
        made = [
            [members[place] for place in order[start : start + BATCH_SEQUENCES]]
            for start in range(0, len(order), BATCH_SEQUENCES)
        ]
        made.sort(key=lambda batch: max(len(examples[example][0]) for example in batch))
        dealt = sorted(range(len(made)), key=lambda place: (place * GOLDEN) % 1)
        # Rank of each batch in the dealt order: neighbours in time lie far apart in length.
        regrouped += [made[dealt.index(place)] for place in range(len(made))]
    return regrouped


class Batches:
    """`batches[k]` as serve() wants it; k wraps around."""

    def __init__(self, examples, batches):
        self.examples, self.batches = examples, batches

    def rows(self, k):
        return [self.examples[example] for example in self.batches[k % len(self.batches)]]

    def __getitem__(self, k):
        return {"tokenIds": np.concatenate([tokens for tokens, _, _ in self.rows(k)])}

    def padded(self, k):
        """(ids, segments, mask, labels), the first three of shape (B, longest)."""
        rows = self.rows(k)
        shape = (len(rows), max(len(tokens) for tokens, _, _ in rows))
        ids, segments, mask = (np.zeros(shape, dtype=np.int64) for _ in range(3))
        for row, (tokens, border, _) in enumerate(rows):
            ids[row, : len(tokens)] = tokens
            segments[row, border : len(tokens)] = 1
            mask[row, : len(tokens)] = 1
        return [torch.from_numpy(x) for x in (ids, segments, mask)] + [torch.tensor([label for _, _, label in rows])]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--init", required=True)
    arguments.add_argument("--batches", required=True)
    arguments.add_argument("--task", required=True)
    arguments.add_argument("--classes", type=int, required=True)
    arguments.add_argument("--batches-per-pass", type=int, required=True)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    arguments.add_argument("--grouped", action="store_true")
    options = arguments.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    examples, order = read_examples(options.batches, options.task)
    if options.grouped:
        order = grouped(examples, order, options.batches_per_pass)
    batches = Batches(examples, order)
    model = BertForSequenceClassification.from_pretrained(options.init, num_labels=options.classes).train()
    optimizer = torch.optim.AdamW(decay_groups(model), lr=LEARNING_RATE, eps=1e-6, fused=True)
    steps = EPOCHS * options.batches_per_pass
    schedule = get_linear_schedule_with_warmup(optimizer, round(0.1 * steps), steps)

    def step(k):
        ids, segments, mask, labels = batches.padded(k)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            loss = model(input_ids=ids, token_type_ids=segments, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        return loss.item()

    serve(step, batches, lambda k: batches.padded(k)[0].numel())


if __name__ == "__main__":
    main()
