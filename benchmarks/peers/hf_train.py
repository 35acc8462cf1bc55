"""Peer: transformers' BertForPreTraining as most people train it, eager or compiled.

Padded batches, logits at every position, bf16 autocast, torch.optim.AdamW. `--compile` wraps the model in torch.compile
with a dynamic number of sequences: padding that number up to one static shape would cost more than it gains.
"""

import argparse

import torch
from transformers import BertConfig, BertForPreTraining

from common import LEARNING_RATE, MAX_GRAD_NORM, MAX_LENGTH, SHAPES, VOCABULARIES, VOCABULARY, Batches, decay_groups, padded, serve


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--batches", required=True)
    arguments.add_argument("--shape", choices=SHAPES, default="small")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    arguments.add_argument("--compile", action="store_true")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    batches = Batches(options.batches)
    config = BertConfig(
        vocab_size=VOCABULARIES.get(options.shape, VOCABULARY),
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **SHAPES[options.shape],
    )
    model = BertForPreTraining(config).train()
    forward = torch.compile(model) if options.compile else model
    optimizer = torch.optim.AdamW(decay_groups(model), lr=LEARNING_RATE)
    width = MAX_LENGTH if options.compile else None

    def step(k):
        inputs = padded(batches[k], width=width)
        if options.compile:
            for tensor in inputs:
                torch._dynamo.mark_dynamic(tensor, 0)
        ids, segments, mask, labels, next_sentence = inputs
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            loss = forward(
                input_ids=ids, token_type_ids=segments, attention_mask=mask, labels=labels,
                next_sentence_label=next_sentence,
            ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    serve(step, batches, lambda k: padded(batches[k], width=width)[0].numel())


if __name__ == "__main__":
    main()
