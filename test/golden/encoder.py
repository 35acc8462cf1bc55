"""Goldens of the encoder, the heads, their gradients and 50 AdamW steps, in float64.

  python test/golden/encoder.py                          writes test/golden/encoder.json.gz (random 4 x 256 encoder)
  python test/golden/encoder.py --folder DIR --output F  the same figures on a Hugging Face folder's real weights
                                                         (test/golden/minilm_l6.json.gz holds those of the shared minilm_l6)

Weights are made by a formula (reference.py), so that the fixture need not hold them. tests: 40.goldens.test.ts
"""

import argparse
import gzip
import json
import os

import numpy as np
import torch
from transformers import BertConfig
from transformers import BertModel

from reference import NO_LABEL, Reference, digest, mix32, random_batch, small_config

HERE = os.path.dirname(os.path.abspath(__file__))
LENGTHS = [128, 7, 93, 31, 64, 3, 110, 17]
ADAMW = {"learningRate": 1e-3, "warmupSteps": 10, "steps": 50, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8,
         "weightDecay": 0.01, "maxGradNorm": 1.0, "batches": 5}


def mlm(layer, weight=1.0, **transfer):
    head = {"name": "mlm", "kind": "masked-lm", "tap": {"layer": layer}, "weight": weight}
    if transfer:
        head["transfer"] = {"from": "nsp", **transfer}
    return head


def nsp(layer, weight=1.0, **read):
    return {"name": "nsp", "kind": "next-sentence", "tap": {"layer": layer}, "weight": weight, **read}


def bshift(name, layer, level, read="mean", weight=1.0):
    return {"name": name, "kind": "bigram-shift", "tap": {"layer": layer}, "weight": weight, "level": level, "read": read}


def cases(top):
    low, mid = 1, top // 2
    result = {
        "plain": [mlm(top), nsp(mid, 0.7), bshift("sentence", mid, "sentence", "mean", 0.5),
                  bshift("token", low, "token", "mean", 1.5), bshift("cls", top - 1, "sentence", "cls", 0.25)],
        "baseline": [mlm(top), nsp(top)],
        "lower-mlm": [mlm(mid), nsp(mid + 1)],
        "embedding-tap": [mlm(top), bshift("token", 0, "token")],
    }
    for mode in ("concat", "add", "label"):
        for stop in (False, True):
            result[f"{mode}{'-stop' if stop else ''}"] = [mlm(top, 1.0, mode=mode, stopGradient=stop), nsp(mid, 0.7)]
    result["concat-mean"] = [mlm(top, 1.0, mode="concat", stopGradient=False), nsp(mid, 0.7, read="mean")]
    return result


def hidden_digest(state, rows):
    """Whole-layer digest, two projections a token, and whole rows of some tokens."""
    values = state.detach().numpy()
    h = mix32(np.arange(values.shape[1], dtype=np.uint32) * np.uint32(0x9E3779B1))
    signs = np.stack([1.0 - 2.0 * ((h >> np.uint32(b)) & np.uint32(1)) for b in range(2)]).astype(np.float64)
    return {**digest(state), "tokenProjections": (values @ signs.T).reshape(-1).tolist(), "rows": values[rows].tolist()}


def build(bert_config, heads, weights, encoder=None):
    model = Reference(bert_config, heads, encoder and encoder(bert_config)).double()
    if weights is not None:
        missing, unexpected = model.bert.load_state_dict(weights, strict=False)
        assert not missing and all("pooler" in n or "position_ids" in n for n in unexpected), (missing, unexpected)
    model.fill(skip_bert=weights is not None)
    model.train()
    return model


def run_case(bert_config, heads, batch, weights, encoder=None):
    model = build(bert_config, heads, weights, encoder)
    states, logits, losses, total = model(batch)
    total.backward()
    gradients = {
        name: digest(p.grad if p.grad is not None else torch.zeros_like(p)) for name, p in model.named_parameters()
    }
    result = {
        "heads": heads, "total": total.item(), "losses": {n: l.item() for n, l in losses.items()},
        # Logits of the labelled places, as the package gives them.
        "logits": {n: digest(y[torch.tensor(batch["labels"][n]["labels"]) != NO_LABEL]) for n, y in logits.items()},
        "gradients": gradients,
    }
    return result, states


def run_training(bert_config, heads, batches, weights, settings, encoder=None):
    model = build(bert_config, heads, weights, encoder)
    optimizer = torch.optim.AdamW(
        model.optimizer_groups(settings["weightDecay"]), lr=settings["learningRate"],
        betas=(settings["beta1"], settings["beta2"]), eps=settings["epsilon"],
    )
    trace = []
    for step in range(settings["steps"]):
        rate = settings["learningRate"] * min(1.0, (step + 1) / settings["warmupSteps"])
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        _, _, _, total = model(batches[step % len(batches)])
        total.backward()
        for p in model.parameters():
            # A parameter above the highest tap still decays with a zero gradient, as it does in the package.
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings["maxGradNorm"])
        optimizer.step()
        trace.append({"loss": total.item(), "gradNorm": norm.item()})
    return {"heads": heads, "settings": settings, "trace": trace,
            "parameters": {name: digest(p) for name, p in model.named_parameters()}}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--folder", help="a Hugging Face BertModel folder; default: the random 4 x 256 encoder")
    arguments.add_argument("--output", default=os.path.join(HERE, "encoder.json.gz"))
    options = arguments.parse_args()
    torch.manual_seed(0)
    rng = np.random.default_rng(20201017)

    weights = None
    if options.folder:
        bert_config = BertConfig.from_pretrained(options.folder, attn_implementation="eager")
        bert_config.hidden_dropout_prob = bert_config.attention_probs_dropout_prob = 0.0
        weights = BertModel.from_pretrained(options.folder).double().state_dict()
    else:
        bert_config = small_config()
    top = bert_config.num_hidden_layers
    every = cases(top)
    if options.folder:
        every = {name: every[name] for name in ("plain", "concat")}
    names = sorted({head["name"]: head for heads in every.values() for head in heads}.items())
    label_heads = [head for _, head in names]

    batch = random_batch(rng, LENGTHS, bert_config.vocab_size, label_heads)
    rows = [o for i in range(len(LENGTHS)) for o in (batch["sequenceOffsets"][i], batch["sequenceOffsets"][i + 1] - 1)]
    encoder = bert_config.to_dict()
    encoder.pop("_name_or_path", None)  # a path of the machine
    output = {
        "encoder": encoder, "batch": batch, "hiddenRows": rows, "cases": {}, "training": {},
        "versions": {"torch": torch.__version__.split("+")[0], "numpy": np.__version__},
    }
    for name, heads in every.items():
        result, states = run_case(bert_config, heads, batch, weights)
        output["cases"][name] = result
        if "hidden" not in output:
            output["hidden"] = [hidden_digest(state, rows) for state in states]
        print(name, {n: round(l, 6) for n, l in result["losses"].items()}, flush=True)

    lengths = [int(n) for n in rng.integers(4, 48, 4)]
    batches = [random_batch(rng, lengths, bert_config.vocab_size, label_heads) for _ in range(ADAMW["batches"])]
    output["trainingBatches"] = batches
    for name in ("plain",) if options.folder else ("plain", "concat", "label"):
        output["training"][name] = run_training(bert_config, every[name], batches, weights, ADAMW)
        print("training", name, output["training"][name]["trace"][0], output["training"][name]["trace"][-1], flush=True)

    write(output, options.output)


def write(output, path):
    # mtime 0: the same figures give the same bytes.
    text = json.dumps(output, separators=(",", ":")).encode()
    with open(path, "wb") as file:
        file.write(gzip.compress(text, 9, mtime=0))
    print("bytes", os.path.getsize(path))


if __name__ == "__main__":
    main()
