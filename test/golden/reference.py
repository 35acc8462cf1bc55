"""The independent reference: transformers' BertModel plus plain torch heads, any precision.

Used by encoder.py (goldens), loss_curve.py and the Hugging Face checks. A case is described by the same head
configurations as in lib/model/config.ts; parameters carry the names of this package. Needs torch and transformers.

Semantics (docs/recipes: hierarchical pre-training):
  next-sentence   p = tanh(W_p h0 + b_p), logits = W_n p + b_n, h0 = first state of the sequence at the head's layer
  masked-lm       transform = LayerNorm(GELU(W h + b)), logits = transform E^T + bias, E = word embeddings (tied)
    concat        transform of [h ; p] with W (H, 2H)
    transform: false   logits = h E^T
    add           transform of h + W_t p
    label         transform of [h ; sum_c P(c) e_c], P = softmax of the next-sentence logits, W (H, 2H)
  bigram-shift    a linear classifier on token states, span means, or the first state of the span's sequence
Loss of a head = mean over its labels; the total is the sum of weight x loss.
"""

import numpy as np
import torch
import torch.nn.functional as F
from transformers import BertConfig, BertModel
from transformers.models.bert.modeling_bert import BertLMPredictionHead, BertPooler

NO_LABEL = -100


def mix32(x):
    """murmur3's finaliser on uint32 arrays; golden.ts has the same in TypeScript."""
    x = x.astype(np.uint32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0xC2B2AE35)
    x ^= x >> np.uint32(16)
    return x


def fnv1a(text):
    h = 0x811C9DC5
    for byte in text.encode():
        h = ((h ^ byte) * 0x01000193) & 0xFFFFFFFF
    return h


def formula(name, shape):
    """Values in (-1/8, 1/8), around 1 for LayerNorm weights; never 0 (or 1), all exact in float32."""
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        h = mix32(np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(fnv1a(name)))
    odd = 2 * (h >> np.uint32(12)).astype(np.float64) + 1 - 2**20
    values = odd * 2.0**-23
    if name.endswith("LayerNorm.weight"):
        values = values + 1
    return values.reshape(shape)


class Reference(torch.nn.Module):
    def __init__(self, bert_config, heads, encoder=None):
        """encoder: called as a BertModel is; default: a BertModel of this configuration."""
        super().__init__()
        self.bert = BertModel(bert_config, add_pooling_layer=False) if encoder is None else encoder
        self.configs = heads
        self.heads = torch.nn.ModuleDict()
        hidden = bert_config.hidden_size
        for head in heads:
            module = torch.nn.Module()
            if head["kind"] == "masked-lm" and head.get("transform", True):
                prediction = BertLMPredictionHead(bert_config)
                module.transform = prediction.transform
                module.bias = torch.nn.Parameter(torch.zeros(bert_config.vocab_size))
                mode = (head.get("transfer") or {}).get("mode")
                if mode in ("concat", "label"):
                    module.transform.dense = torch.nn.Linear(2 * hidden, hidden)
                if mode:
                    module.transfer = torch.nn.Module()
                if mode == "add":
                    module.transfer.weight = torch.nn.Parameter(torch.zeros(hidden, hidden))
                if mode == "label":
                    module.transfer.labels = torch.nn.Parameter(torch.zeros(2, hidden))
            elif head["kind"] == "masked-lm":
                pass
            elif head["kind"] == "next-sentence":
                module.pooler = BertPooler(bert_config).dense
                module.classifier = torch.nn.Linear(hidden, 2)
            else:
                module.classifier = torch.nn.Linear(hidden, 2)
            self.heads[head["name"]] = module

    def fill(self, skip_bert=False):
        """Overwrites every parameter (or the heads' only) by the formula."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if skip_bert and name.startswith("bert."):
                    continue
                parameter.copy_(torch.from_numpy(formula(name, tuple(parameter.shape))))

    def forward(self, batch):
        """Returns (hidden states packed [layer] -> (T, H), logits by head, losses by head, total loss)."""
        offsets = batch["sequenceOffsets"]
        lengths = [offsets[i + 1] - offsets[i] for i in range(len(offsets) - 1)]
        longest, count = max(lengths), len(lengths)
        ids = torch.zeros(count, longest, dtype=torch.long)
        segments = torch.zeros_like(ids)
        mask = torch.zeros_like(ids)
        rows, columns = [], []
        for i, length in enumerate(lengths):
            span = slice(offsets[i], offsets[i + 1])
            ids[i, :length] = torch.tensor(batch["tokenIds"][span])
            segments[i, :length] = torch.tensor(batch["segmentIds"][span])
            mask[i, :length] = 1
            rows += [i] * length
            columns += list(range(length))
        rows, columns = torch.tensor(rows), torch.tensor(columns)
        out = self.bert(ids, attention_mask=mask, token_type_ids=segments, output_hidden_states=True)
        states = [h[rows, columns] for h in out.hidden_states]
        first = torch.tensor(offsets[:-1])

        logits, losses, pooled = {}, {}, {}
        for head in self.configs:
            if head["kind"] == "next-sentence":
                module = self.heads[head["name"]]
                h = states[head["tap"]["layer"]]
                read = h[first]
                if head.get("read") == "mean":
                    read = torch.stack([h[a:b].mean(0) for a, b in zip(offsets[:-1], offsets[1:])])
                pooled[head["name"]] = torch.tanh(module.pooler(read))
        total = 0
        for head in self.configs:
            name, module = head["name"], self.heads[head["name"]]
            labels = batch["labels"].get(name)
            if labels is None:
                continue
            h = states[head["tap"]["layer"]]
            target = torch.tensor(labels["labels"])
            if head["kind"] == "masked-lm":
                positions = torch.tensor(labels["positions"])
                x = h[positions]
                transfer = head.get("transfer")
                if transfer:
                    source = self.heads[transfer["from"]]
                    p = pooled[transfer["from"]]
                    if transfer["mode"] == "label":
                        p = torch.softmax(source.classifier(p), -1)
                    if transfer["stopGradient"]:
                        p = p.detach()
                    p = p[rows[positions]]
                    if transfer["mode"] == "concat":
                        x = torch.cat([x, p], -1)
                    elif transfer["mode"] == "add":
                        x = x + p @ module.transfer.weight.T
                    else:
                        x = torch.cat([x, p @ module.transfer.labels], -1)
                word = self.bert.embeddings.word_embeddings.weight
                y = module.transform(x) @ word.T + module.bias if head.get("transform", True) else x @ word.T
            elif head["kind"] == "next-sentence":
                y = module.classifier(pooled[name])
            elif head["level"] == "token":
                y = module.classifier(h[torch.tensor(labels["positions"])])
            elif head["read"] == "mean":
                spans = zip(labels["spanStarts"], labels["spanEnds"])
                y = module.classifier(torch.stack([h[a:b].mean(0) for a, b in spans]))
            else:
                y = module.classifier(h[first[rows[torch.tensor(labels["spanStarts"])]]])
            logits[name] = y
            losses[name] = F.cross_entropy(y, target, ignore_index=NO_LABEL)
            total = total + head["weight"] * losses[name]
        return states, logits, losses, total

    def optimizer_groups(self, weight_decay):
        """Biases and LayerNorm parameters do not decay."""
        decays, stays = [], []
        for name, parameter in self.named_parameters():
            (stays if name.endswith("bias") or "LayerNorm" in name else decays).append(parameter)
        return [{"params": decays, "weight_decay": weight_decay}, {"params": stays, "weight_decay": 0.0}]


def small_config(layers=4, hidden=256, heads=4, intermediate=512, vocab=500, positions=128):
    return BertConfig(
        vocab_size=vocab, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=intermediate, max_position_embeddings=positions, type_vocab_size=2,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, layer_norm_eps=1e-12,
        attn_implementation="eager",
    )


def random_batch(rng, lengths, vocab, heads):
    """Random token ids with labels for every head; mirrors what an objective makes, not how."""
    offsets = [0]
    for length in lengths:
        offsets.append(offsets[-1] + length)
    total = offsets[-1]
    ids = rng.integers(5, vocab, total)
    segments = np.zeros(total, dtype=np.int64)
    for i, length in enumerate(lengths):
        ids[offsets[i]] = 2
        ids[offsets[i + 1] - 1] = 3
        segments[offsets[i] + (length + 1) // 2 : offsets[i + 1]] = 1
    masked = np.sort(rng.choice(total, max(1, int(total * 0.15)), replace=False))
    targets = rng.integers(5, vocab, len(masked))
    ids[masked[rng.random(len(masked)) < 0.8]] = 4
    spans = []
    for i, length in enumerate(lengths):
        middle = offsets[i] + max(1, length // 2)
        spans.append((offsets[i] + (1 if length > 3 else 0), middle))
        if length > 8:
            spans.append((middle, offsets[i + 1] - 1))
    spans = [(a, b) for a, b in spans if b > a]
    labels = {}
    for head in heads:
        if head["kind"] == "masked-lm":
            labels[head["name"]] = {"positions": masked.tolist(), "labels": targets.tolist()}
        elif head["kind"] == "next-sentence":
            values = rng.integers(0, 2, len(lengths))
            values[len(lengths) // 2] = NO_LABEL
            labels[head["name"]] = {"labels": values.tolist()}
        elif head["level"] == "token":
            positions = np.sort(rng.choice(total, max(2, int(total * 0.6)), replace=False))
            labels[head["name"]] = {
                "positions": positions.tolist(), "labels": (rng.random(len(positions)) < 0.2).astype(int).tolist(),
            }
        else:
            labels[head["name"]] = {
                "spanStarts": [int(a) for a, _ in spans], "spanEnds": [int(b) for _, b in spans],
                "labels": rng.integers(0, 2, len(spans)).tolist(),
            }
    return {
        "tokenIds": ids.tolist(), "segmentIds": segments.tolist(), "sequenceOffsets": [int(o) for o in offsets],
        "labels": labels,
    }


SAMPLES = 24


def digest(tensor):
    """Norm, eight projections on formula-made sign vectors and a strided sample of a float64 array.

    For a difference d of two arrays the mean square of its eight projections estimates ||d||^2, so comparing projections
    bounds the relative error of the whole tensor without storing it.
    """
    values = tensor.detach().to(torch.float64).numpy().reshape(-1)
    with np.errstate(over="ignore"):
        h = mix32(np.arange(values.size, dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(0x7F4A7C15))
    projections = []
    for bit in range(8):
        sign = 1.0 - 2.0 * ((h >> np.uint32(bit)) & np.uint32(1)).astype(np.float64)
        projections.append(float(np.sum(values * sign)))
    stride = max(1, values.size // SAMPLES)
    return {
        "shape": list(tensor.shape), "norm": float(np.sqrt(np.sum(values * values))), "projections": projections,
        "sample": [float(v) for v in values[::stride][:SAMPLES]],
    }
