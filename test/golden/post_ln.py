"""A small post-LN BERT in plain torch with adapters, mixes and heads: the independent reference of adapters.py and scalar_mix.py.

Sequences are padded and masked here, packed in the package. A parameter is made by reference.py's formula when it is first used, so
that what a case never touches is not there. Shapes: B sequences, S longest length, H hidden size.
"""

import torch
import torch.nn.functional as F

from reference import NO_LABEL, digest, formula


class Parameters:
    def __init__(self, overrides=None):
        self.values = {}
        self.overrides = overrides or {}

    def __call__(self, name, *shape):
        if name not in self.values:
            if name in self.overrides:
                value = torch.tensor(self.overrides[name], dtype=torch.float64).expand(shape).clone()
            else:
                value = torch.from_numpy(formula(name, shape)).double()
            self.values[name] = value.requires_grad_(True)
        return self.values[name]

    def linear(self, name, x, out):
        return x @ self(name + ".weight", out, x.shape[-1]).T + self(name + ".bias", out)

    def norm(self, name, x, eps):
        return F.layer_norm(x, x.shape[-1:], self(name + ".weight", x.shape[-1]), self(name + ".bias", x.shape[-1]), eps)

    def attention(self, name, x, mask, heads, beside=None):
        B, S, H = x.shape
        q, k, v = (self.linear(f"{name}.{part}", x, H) + (beside(part, x) if beside else 0) for part in ("query", "key", "value"))
        split = lambda y: y.view(B, S, heads, H // heads).transpose(1, 2)
        scores = split(q) @ split(k).transpose(-1, -2) / (H // heads) ** 0.5 + mask
        return (torch.softmax(scores, -1) @ split(v)).transpose(1, 2).reshape(B, S, H)

    def attention_sublayer(self, name, x, mask, heads, eps, adapter=None):
        y = self.attention(f"{name}.self", x, mask, heads, adapter and adapter.beside_qkv)
        y = self.linear(f"{name}.output.dense", y, x.shape[-1])
        if adapter:
            y = adapter.projected(y)
        return self.norm(f"{name}.output.LayerNorm", y + x, eps)

    def block(self, name, h, mask, config, heads, adapter=None):
        a = self.attention_sublayer(f"{name}.attention", h, mask, heads, config["layerNormEpsilon"], adapter)
        f = F.gelu(self.linear(f"{name}.intermediate.dense", a, config["intermediateSize"]))
        f = self.linear(f"{name}.output.dense", f, h.shape[-1])
        if adapter:
            f = f + adapter.beside(h, a, mask)
        y = self.norm(f"{name}.output.LayerNorm", f + a, config["layerNormEpsilon"])
        return adapter.scaled(y) if adapter else y


class BlockAdapter:
    """What a task's adapter does to block `index`."""

    def __init__(self, parameters, config, index):
        self.p, self.config, self.kind = parameters, config, config["kind"]
        self.whole = f"adapters.{config['name']}"
        self.name = f"{self.whole}.layer.{index}"

    def low_rank(self, name, x):
        inner = F.gelu(self.p.linear(f"{name}.encoder", x, self.config["size"]))
        return self.p.linear(f"{name}.decoder", inner, x.shape[-1])

    def beside_qkv(self, part, h):
        if self.kind != "lora" or part not in self.config.get("targets", ["query", "value"]):
            return 0
        size, hidden = self.config["size"], h.shape[-1]
        a, b = self.p(f"{self.name}.{part}.a", size, hidden), self.p(f"{self.name}.{part}.b", hidden, size)
        return h @ (b @ a).T * (self.config.get("alpha", size) / size)

    def projected(self, x):
        return x + self.low_rank(f"{self.name}.attention", x) if self.kind == "houlsby" else x

    def beside(self, h, a, mask):
        if self.kind == "pal":
            inner = self.p.linear(f"{self.whole}.encoder", h, self.config["size"])
            inner = self.p.attention(self.name, inner, mask, self.config.get("heads", 6))
            e = self.p.linear(f"{self.whole}.decoder", inner, h.shape[-1])
            return F.gelu(e) if self.config.get("outputGelu", True) else e
        if self.kind == "low-rank":
            return self.low_rank(self.name, h)
        return self.low_rank(f"{self.name}.output", a) if self.kind == "houlsby" else 0

    def scaled(self, y):
        return y * 2 * torch.sigmoid(self.p(f"{self.name}.scale", y.shape[-1])) if self.kind == "lhuc" else y


def on_top(p, config, encoder, h, mask):
    name = f"adapters.{config['name']}"
    if config["kind"] == "top-layer":
        return p.block(f"{name}.top", h, mask, encoder, config.get("heads", encoder["heads"]))
    if config["kind"] == "top-attention":
        x = p.linear(f"{name}.encoder", h, config["size"])
        for index in range(config.get("blocks", 6)):
            x = p.attention_sublayer(f"{name}.attention.{index}", x, mask, config.get("heads", 12), encoder["layerNormEpsilon"])
        return p.linear(f"{name}.decoder", x, h.shape[-1])
    return h


def run(case, encoder, batch):
    """Losses, hidden states, scores and gradients of one case: { heads, mixes?, adapters?, adapter?, values? }."""
    p = Parameters(case.get("values"))
    H, layers = encoder["hiddenSize"], encoder["layers"]
    offsets = batch["sequenceOffsets"]
    lengths = [b - a for a, b in zip(offsets, offsets[1:])]
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    segments, real = torch.zeros_like(ids), torch.zeros(ids.shape, dtype=torch.bool)
    for i, length in enumerate(lengths):
        ids[i, :length] = torch.tensor(batch["tokenIds"][offsets[i] : offsets[i + 1]])
        segments[i, :length] = torch.tensor(batch["segmentIds"][offsets[i] : offsets[i + 1]])
        real[i, :length] = True
    mask = torch.zeros(ids.shape, dtype=torch.float64).masked_fill(~real, float("-inf"))[:, None, None, :]
    sequence_of = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))

    name = "bert.embeddings."
    h = (
        p(name + "word_embeddings.weight", encoder["vocabSize"], H)[ids]
        + p(name + "position_embeddings.weight", encoder["maxPositions"], H)[: ids.shape[1]]
        + p(name + "token_type_embeddings.weight", encoder["segmentTypes"], H)[segments]
    )
    hidden = [p.norm(name + "LayerNorm", h, encoder["layerNormEpsilon"])]
    adapter = next((a for a in case.get("adapters", []) if a["name"] == case.get("adapter")), None)
    active = [head for head in case["heads"] if head["name"] in case.get("labelled", [h["name"] for h in case["heads"]])]
    top = max(head["tap"].get("layer", layers) for head in active)
    for index in range(top):
        inside = BlockAdapter(p, adapter, index) if adapter else None
        hidden.append(p.block(f"bert.encoder.layer.{index}", hidden[-1], mask, encoder, encoder["heads"], inside))
    if adapter and top == layers:
        hidden[-1] = on_top(p, adapter, encoder, hidden[-1], mask)
    hidden = [state[real] for state in hidden]

    def states(tap):
        if "layer" in tap:
            return hidden[tap["layer"]]
        mix = next(m for m in case["mixes"] if m["name"] == tap["mix"])
        chosen = hidden if mix["includeEmbeddings"] else hidden[1:]
        share = torch.softmax(p(f"mixes.{mix['name']}.weights", len(chosen)), 0)
        if mix["layerNorm"]:
            chosen = [F.layer_norm(state, state.shape[-1:], eps=1e-12) for state in chosen]
        return p(f"mixes.{mix['name']}.gamma", 1) * torch.einsum("j,jth->th", share, torch.stack(chosen))

    first = torch.tensor(offsets[:-1])
    total, losses, logits, pooled = 0, {}, {}, {}
    for head in sorted(active, key=lambda head: "transfer" in head):
        name, labels, h = f"heads.{head['name']}", batch["labels"][head["name"]], states(head["tap"])
        if head["kind"] == "next-sentence":
            pooled[head["name"]] = torch.tanh(p.linear(f"{name}.pooler", h[first], H))
            y = p.linear(f"{name}.classifier", pooled[head["name"]], 2)
        elif head["kind"] == "masked-lm":
            positions = torch.tensor(labels["positions"])
            x = h[positions]
            if "transfer" in head:
                x = torch.cat([x, pooled[head["transfer"]["from"]][sequence_of[positions]]], 1)
            x = p.norm(f"{name}.transform.LayerNorm", F.gelu(p.linear(f"{name}.transform.dense", x, H)), encoder["layerNormEpsilon"])
            y = x @ p("bert.embeddings.word_embeddings.weight").T + p(f"{name}.bias", encoder["vocabSize"])
        elif head["level"] == "token":
            y = p.linear(f"{name}.classifier", h[torch.tensor(labels["positions"])], 2)
        else:
            spans = zip(labels["spanStarts"], labels["spanEnds"])
            y = p.linear(f"{name}.classifier", torch.stack([h[a:b].mean(0) for a, b in spans]), 2)
        target = torch.tensor(labels["labels"])
        logits[head["name"]] = digest(y[target != NO_LABEL])
        losses[head["name"]] = F.cross_entropy(y, target, ignore_index=NO_LABEL)
        total = total + head["weight"] * losses[head["name"]]
    total.backward()
    gradients = {n: digest(v.grad if v.grad is not None else torch.zeros_like(v)) for n, v in p.values.items()}
    return {
        **case, "hidden": [digest(state) for state in hidden], "losses": {n: loss.item() for n, loss in losses.items()},
        "logits": logits, "gradients": gradients,
    }
