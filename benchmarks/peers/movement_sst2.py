"""Movement pruning (Sanh et al. 2020) of a classifier in plain PyTorch, in the setting of examples/experiments/pruning.yaml: 6,000 rows of SST-2, batches of
32, AdamW 1e-4, scores 1e-2, cubic schedule with pauses of one and two warm-ups, embeddings frozen, float32.

python movement_sst2.py --init DIR --glue DIR [--seed 1] [--steps 300] [--threads 1]

Prints the mean loss of every ten steps with the density, and the accuracy on dev after each epoch and at the end: whether the method itself learns
in so few steps.
"""

import argparse
import csv
import math
import random

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

ROWS, EPOCHS, BATCH, LENGTH, FINAL_DENSITY = 6000, 6, 32, 64, 0.1


class Highest(torch.autograd.Function):
    """1 at the highest scores, 0 elsewhere; the gradient goes straight through."""

    @staticmethod
    def forward(ctx, scores, density):
        mask = torch.zeros_like(scores)
        count = int(density * scores.numel())
        mask.view(-1)[scores.view(-1).topk(count).indices] = 1
        return mask

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return [(text, int(label)) for text, label in list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--init", required=True)
    parser.add_argument("--glue", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10**9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    random.seed(options.seed)
    torch.set_num_threads(options.threads)
    tokenizer = AutoTokenizer.from_pretrained(options.init)
    model = AutoModelForSequenceClassification.from_pretrained(options.init, num_labels=2)
    train, dev = read(f"{options.glue}/SST-2/train.tsv"), read(f"{options.glue}/SST-2/dev.tsv")
    random.shuffle(train)
    train = train[:ROWS]
    steps = EPOCHS * math.ceil(len(train) / BATCH)
    warmup = round(0.1 * steps)

    now = {"density": 1.0}
    scores = []
    for parameter in model.bert.embeddings.parameters():
        parameter.requires_grad_(False)
    for linear in model.bert.encoder.modules():
        if isinstance(linear, torch.nn.Linear):
            linear.scores = torch.nn.Parameter(torch.zeros_like(linear.weight))
            scores.append(linear.scores)

            def forward(states, linear=linear):
                return torch.nn.functional.linear(states, linear.weight * Highest.apply(linear.scores, now["density"]), linear.bias)

            linear.forward = forward
    own = {id(one) for one in scores}
    rest = [one for one in model.parameters() if one.requires_grad and id(one) not in own]
    groups = [
        {"params": [one for one in rest if one.dim() > 1], "lr": 1e-4, "weight_decay": 0.01},
        {"params": [one for one in rest if one.dim() <= 1], "lr": 1e-4, "weight_decay": 0},
        {"params": scores, "lr": 1e-2, "weight_decay": 0},
    ]
    optimizer = torch.optim.AdamW(groups, eps=1e-6)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: (t + 1) / warmup if t < warmup else max(0, (steps - t) / (steps - warmup)))

    def density(t):
        if t < warmup:
            return 1.0
        if t > steps - 2 * warmup:
            return FINAL_DENSITY
        return FINAL_DENSITY + (1 - FINAL_DENSITY) * (1 - (t - warmup) / (steps - 3 * warmup)) ** 3

    def encode(rows):
        return tokenizer([text for text, _ in rows], padding=True, truncation=True, max_length=LENGTH, return_tensors="pt")

    def accuracy():
        model.eval()
        right = 0
        with torch.no_grad():
            for start in range(0, len(dev), 64):
                rows = dev[start : start + 64]
                right += (model(**encode(rows)).logits.argmax(-1) == torch.tensor([label for _, label in rows])).sum().item()
        model.train()
        return right / len(dev)

    model.train()
    step, losses = 0, []
    for epoch in range(EPOCHS):
        random.shuffle(train)
        for start in range(0, len(train), BATCH):
            rows = train[start : start + BATCH]
            now["density"] = density(step)
            loss = model(**encode(rows), labels=torch.tensor([label for _, label in rows])).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([one for one in model.parameters() if one.grad is not None], 1.0)
            optimizer.step()
            rate.step()
            step += 1
            losses.append(loss.item())
            if step % 10 == 0:
                print(f"step {step}  loss {sum(losses) / len(losses):.3f}  density {now['density']:.3f}", flush=True)
                losses = []
            if step >= options.steps:
                print(f"step {step}  dev accuracy {accuracy():.4f}")
                return
        print(f"epoch {epoch + 1}  dev accuracy {accuracy():.4f}", flush=True)


main()
