"""Peer on an accelerator: BERT pre-training by transformers' BertForPreTraining, or by a plain torch BERT where that is missing.

Trains on a batch file of benchmarks/batch-file.ts and prints one JSON line: tokens/s of real (not padded) tokens and the peak of
torch's allocator. What helps it is done: padded tensors are made beforehand, AdamW is fused, the loss is read once at the end.
"""

import argparse
import json
import time

import torch
import torch.nn.functional as F
from torch import nn

from common import LEARNING_RATE, MAX_GRAD_NORM, SHAPES, VOCABULARY, Batches, decay_groups, padded, peak_rss_bytes

TINY = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}


class PlainBert(nn.Module):
    """BERT as published out of torch's own layers: logits at every position, decoder tied to the word embeddings."""

    def __init__(self, hidden_size, num_hidden_layers, num_attention_heads, intermediate_size):
        super().__init__()
        self.word = nn.Embedding(VOCABULARY, hidden_size)
        self.position = nn.Embedding(512, hidden_size)
        self.segment = nn.Embedding(2, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=1e-12)
        layer = nn.TransformerEncoderLayer(
            hidden_size, num_attention_heads, intermediate_size, dropout=0.0, activation="gelu", layer_norm_eps=1e-12,
            batch_first=True,
        )
        self.encoder = nn.TransformerEncoder(layer, num_hidden_layers, enable_nested_tensor=False)
        self.transform = nn.Linear(hidden_size, hidden_size)
        self.transform_norm = nn.LayerNorm(hidden_size, eps=1e-12)
        self.decoder_bias = nn.Parameter(torch.zeros(VOCABULARY))
        self.pooler = nn.Linear(hidden_size, hidden_size)
        self.next_sentence = nn.Linear(hidden_size, 2)

    def forward(self, ids, segments, mask, labels, next_sentence):
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.word(ids) + self.position(places) + self.segment(segments))
        x = self.encoder(x, src_key_padding_mask=mask == 0)
        logits = F.linear(self.transform_norm(F.gelu(self.transform(x))), self.word.weight, self.decoder_bias)
        masked = F.cross_entropy(logits.float().view(-1, VOCABULARY), labels.view(-1), ignore_index=-100)
        scores = self.next_sentence(torch.tanh(self.pooler(x[:, 0])))
        return masked + F.cross_entropy(scores.float(), next_sentence, ignore_index=-100)


def build(implementation, shape):
    """The module and a function (module, inputs) → loss."""
    if implementation == "torch":
        return PlainBert(**shape), lambda model, inputs: model(*inputs)
    from transformers import BertConfig, BertForPreTraining

    config = BertConfig(vocab_size=VOCABULARY, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **shape)

    def loss(model, inputs):
        ids, segments, mask, labels, next_sentence = inputs
        return model(
            input_ids=ids, token_type_ids=segments, attention_mask=mask, labels=labels, next_sentence_label=next_sentence
        ).loss

    return BertForPreTraining(config), loss


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--batches", required=True)
    arguments.add_argument("--implementation", choices=["hf", "torch", "auto"], default="auto")
    arguments.add_argument("--shape", choices=["tiny", *SHAPES], default="base")
    arguments.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--warmup", type=int, default=5)
    arguments.add_argument("--steps", type=int, default=30)
    options = arguments.parse_args()
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    implementation = options.implementation
    if implementation == "auto":
        try:
            import transformers  # noqa: F401

            implementation = "hf"
        except ImportError:
            implementation = "torch"

    on_gpu = options.device != "cpu"
    batches = Batches(options.batches)
    inputs = [padded(batches[k]) for k in range(batches.count)]
    if on_gpu:
        inputs = [[tensor.pin_memory() for tensor in batch] for batch in inputs]
    model, loss_of = build(implementation, TINY if options.shape == "tiny" else SHAPES[options.shape])
    model = model.to(options.device).train()
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(decay_groups(model), lr=LEARNING_RATE, fused=True)

    def step(k):
        batch = [tensor.to(options.device, non_blocking=True) for tensor in inputs[k % len(inputs)]]
        with torch.autocast(options.device.split(":")[0], torch.bfloat16, enabled=options.precision == "bf16"):
            loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    first = last = step(0).item()
    for k in range(1, options.warmup):
        last = step(k)
    if on_gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start, tokens = time.perf_counter(), 0
    for k in range(options.warmup, options.warmup + options.steps):
        last = step(k)
        tokens += len(batches[k]["tokenIds"])
    last = float(last)  # waits for the device
    seconds = time.perf_counter() - start
    print(json.dumps({
        "implementation": implementation, "torch": torch.__version__, "tokensPerSecond": tokens / seconds,
        "peakBytes": torch.cuda.max_memory_allocated() if on_gpu else peak_rss_bytes(), "firstLoss": first, "lastLoss": last,
    }))


if __name__ == "__main__":
    main()
