"""Peer on an accelerator: transformers' BertForSequenceClassification on the examples of a batch file, padded to the longest of each batch.

Prints one JSON line: examples/s, or why it was skipped. What helps it is done: padded tensors are made beforehand, AdamW is fused,
the loss is read once at the end.
"""

import argparse
import json
import time

import numpy as np
import torch

from common import LEARNING_RATE, MAX_GRAD_NORM, SHAPES, VOCABULARY, decay_groups, peak_rss_bytes

TINY = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}


def padded_batches(path, head):
    """[(ids, segments, mask, labels)], the first three of shape (B, longest)."""
    from safetensors.numpy import load_file

    a = load_file(path)
    tokens, sequences, labels = a["tokenBatchOffsets"], a["sequenceBatchOffsets"], a[f"labels.{head}.offsets"]
    batches = []
    for k in range(len(tokens) - 1):
        offsets = a["sequenceOffsets"][sequences[k] : sequences[k + 1]] + tokens[k]
        lengths = np.diff(offsets)
        ids, segments, mask = (np.zeros((len(lengths), lengths.max()), dtype=np.int64) for _ in range(3))
        for row, (begin, end) in enumerate(zip(offsets, offsets[1:])):
            ids[row, : end - begin] = a["tokenIds"][begin:end]
            segments[row, : end - begin] = a["segmentIds"][begin:end]
            mask[row, : end - begin] = 1
        own = a[f"labels.{head}.labels"][labels[k] : labels[k + 1]].astype(np.int64)
        batches.append([torch.from_numpy(x) for x in (ids, segments, mask, own)])
    return batches


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--batches", required=True)
    arguments.add_argument("--head", required=True)
    arguments.add_argument("--shape", choices=["tiny", *SHAPES], default="base")
    arguments.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--warmup", type=int, default=5)
    arguments.add_argument("--steps", type=int, default=40)
    options = arguments.parse_args()
    try:
        from transformers import BertConfig, BertForSequenceClassification
    except ImportError as error:
        print(json.dumps({"skipped": f"transformers cannot be imported: {error}"}))
        return
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    on_gpu = options.device != "cpu"
    batches = padded_batches(options.batches, options.head)
    if on_gpu:
        batches = [[tensor.pin_memory() for tensor in batch] for batch in batches]
    shape = TINY if options.shape == "tiny" else SHAPES[options.shape]
    config = BertConfig(vocab_size=VOCABULARY, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1, num_labels=2, **shape)
    model = BertForSequenceClassification(config).to(options.device).train()
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(decay_groups(model), lr=LEARNING_RATE, fused=True)

    def step(k):
        ids, segments, mask, labels = (tensor.to(options.device, non_blocking=True) for tensor in batches[k % len(batches)])
        with torch.autocast(options.device.split(":")[0], torch.bfloat16, enabled=options.precision == "bf16"):
            loss = model(input_ids=ids, token_type_ids=segments, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    for k in range(options.warmup):
        last = step(k)
    last = float(last)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    start, examples = time.perf_counter(), 0
    for k in range(options.warmup, options.warmup + options.steps):
        last = step(k)
        examples += len(batches[k % len(batches)][3])
    last = float(last)  # waits for the device
    seconds = time.perf_counter() - start
    print(json.dumps({
        "torch": torch.__version__, "examplesPerSecond": examples / seconds, "lastLoss": last,
        "peakBytes": torch.cuda.max_memory_allocated() if on_gpu else peak_rss_bytes(),
    }))


if __name__ == "__main__":
    main()
