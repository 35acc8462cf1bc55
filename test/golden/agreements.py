"""Goldens of dependency agreements (DACBERT: Kuo, Zhang & Chen 2023, arXiv 2311.04799), in float64.

  python test/golden/agreements.py        writes test/golden/agreements.json.gz

Written from the design, chunk by chunk, without padding; the blocks are those of crammed.py, weights by formula (reference.py).
tests: 98.agreements.test.ts

  c_a     mean of the submodel's states over the tokens of chunk a
  s(a,b)  c_a' B c_b + u' [c_a; c_b] for the other chunks b of the sentence, 0 for "none"
  loss    mean over the labelled chunks of -log softmax(s)[target]
  e_a     [c_a; sum_b P(b|a) c_b], b over the chunks
  x_t     LN(E_t + sum_r g_r W_r e_r(chunk of t)); nothing for a token of no chunk, nothing of a relation that is off
"""

import os

import numpy as np
import torch
import torch.nn.functional as F
from transformers import BertModel

import encoder as golden
from crammed import Crammed
from reference import NO_LABEL, digest, formula, small_config

HERE = os.path.dirname(os.path.abspath(__file__))
LENGTHS = [19, 4, 33, 9, 26, 1, 3, 12, 2]
VOCAB = 67
AGREEMENTS = {"relations": ["subj", "obj", "nmod"], "size": 16, "layers": 2, "heads": 2, "intermediateSize": 24, "gateInit": 0.1}
# Where a submodel's parameters stand in Crammed.
PLACES = {
    "words": "embeddings.word_embeddings.weight", "position_scale": "embeddings.position_scale", "LayerNorm": "embeddings.LayerNorm",
    "layer": "encoder.layer", "last.LayerNorm": "encoder.LayerNorm",
}


class Submodel(torch.nn.Module):
    def __init__(self, hidden):
        super().__init__()
        a = AGREEMENTS
        self.encoder = Crammed(small_config(a["layers"], a["size"], a["heads"], a["intermediateSize"], VOCAB, 64))
        self.bilinear = torch.nn.Parameter(torch.zeros(a["size"], a["size"]))
        self.linear = torch.nn.Parameter(torch.zeros(2 * a["size"]))
        self.projection = torch.nn.Parameter(torch.zeros(hidden, 2 * a["size"]))

    def named(self, relation):
        for name, parameter in self.named_parameters():
            name = name.removeprefix("encoder.")
            for ours, theirs in PLACES.items():
                if name == theirs or name.startswith(theirs + "."):
                    name = ours + name[len(theirs):]
            yield f"agreements.{relation}.{name}", parameter

    def forward(self, batch):
        """Chunk vectors, and for each chunk its scores with the candidates' numbers."""
        states = []
        for a, b in zip(batch["sequenceOffsets"], batch["sequenceOffsets"][1:]):
            ids = torch.tensor(batch["tokenIds"][a:b])[None]
            out = self.encoder(ids, torch.ones_like(ids), None, True)
            states += list(out.hidden_states[-1][0])
        chunk_of, sentences = batch["chunks"]["ids"], batch["chunks"]["sentences"]
        chunks = []
        for c in range(len(sentences)):
            own = [state for state, chunk in zip(states, chunk_of) if chunk == c]
            chunks.append(sum(own) / len(own))
        scores = []
        for a, c in enumerate(chunks):
            others = [b for b in range(len(chunks)) if sentences[b] == sentences[a] and b != a]
            values = [c @ self.bilinear @ chunks[b] + self.linear @ torch.cat([c, chunks[b]]) for b in others]
            scores.append((others, torch.stack([*values, torch.zeros((), dtype=torch.float64)])))
        return chunks, scores


class Model(torch.nn.Module):
    def __init__(self, kind, switches, heads):
        super().__init__()
        config = small_config(2, 32, 4, 40, VOCAB, 64)
        self.config, self.switches, self.configs = config, switches, heads
        self.bert = BertModel(config, add_pooling_layer=False) if kind == "bert" else Crammed(config)
        self.submodels = torch.nn.ModuleDict({relation: Submodel(config.hidden_size) for relation in AGREEMENTS["relations"]})
        self.gates = torch.nn.Parameter(torch.zeros(len(AGREEMENTS["relations"])))
        self.bert.embeddings.LayerNorm.register_forward_pre_hook(lambda _, inputs: (inputs[0] + self.beside,))
        self.double()
        with torch.no_grad():
            for name, parameter in self.named():
                parameter.copy_(torch.from_numpy(formula(name, tuple(parameter.shape))))

    def named(self):
        yield from (("bert." + name, parameter) for name, parameter in self.bert.named_parameters())
        for relation, submodel in self.submodels.items():
            yield from submodel.named(relation)
        yield "agreements.gates", self.gates

    def forward(self, batch):
        said = {relation: submodel(batch) for relation, submodel in self.submodels.items()}
        losses = {}
        for head in self.configs:
            if head["kind"] != "agreement":
                continue
            scores, terms = said[head["relation"]][1], []
            for (others, values), target in zip(scores, batch["labels"][head["name"]]["labels"]):
                if target != NO_LABEL:
                    place = len(others) if target == -1 else others.index(target)
                    terms.append(-torch.log_softmax(values, 0)[place])
            losses[head["name"]] = sum(terms) / len(terms)
        hidden = self.encode(batch, said)
        for head in self.configs:
            if head["kind"] == "masked-lm":
                labels = batch["labels"][head["name"]]
                logits = hidden[-1][torch.tensor(labels["positions"])] @ self.bert.embeddings.word_embeddings.weight.T
                losses[head["name"]] = F.cross_entropy(logits, torch.tensor(labels["labels"]))
        return said, hidden, losses

    def encode(self, batch, said):
        added = []
        gates = self.gates.detach() if self.switches.get("fixedGates") else self.gates
        for chunk in batch["chunks"]["ids"]:
            row = torch.zeros(self.config.hidden_size, dtype=torch.float64)
            for r, relation in enumerate(AGREEMENTS["relations"]):
                if chunk < 0 or relation in self.switches.get("off", []):
                    continue
                chunks, scores = said[relation]
                others, values = scores[chunk]
                shares = torch.softmax(values, 0)
                expected = sum((shares[i] * chunks[b] for i, b in enumerate(others)), torch.zeros_like(chunks[0]))
                embedding = torch.cat([chunks[chunk], expected])
                if not self.switches.get("train"):
                    embedding = embedding.detach()
                row = row + gates[r] * (self.submodels[relation].projection @ embedding)
            added.append(row)
        layers = []
        for a, b in zip(batch["sequenceOffsets"], batch["sequenceOffsets"][1:]):
            ids, segments = torch.tensor(batch["tokenIds"][a:b])[None], torch.tensor(batch["segmentIds"][a:b])[None]
            self.beside = torch.stack(added[a:b])[None]
            out = self.bert(ids, attention_mask=torch.ones_like(ids), token_type_ids=segments, output_hidden_states=True)
            layers.append([state[0] for state in out.hidden_states])
        return [torch.cat(states) for states in zip(*layers)]


def make_batch(rng):
    offsets = [0, *np.cumsum(LENGTHS).tolist()]
    ids, segments = rng.integers(5, VOCAB, offsets[-1]), np.zeros(offsets[-1], dtype=int)
    chunk_of, sentences, sentence = [-1] * offsets[-1], [], 7
    for a, b in zip(offsets, offsets[1:]):
        segments[(a + b) // 2 : b] = 1
        if b - a < 3:
            continue
        for t in range(a + 1, b - 1):  # the first and the last token are [CLS] and [SEP]
            starts_sentence = t == a + 1 or (b - a != 33 and rng.random() < 0.15)
            sentence += starts_sentence
            if starts_sentence or rng.random() < 0.6:
                sentences.append(sentence)
            chunk_of[t] = len(sentences) - 1
    # A chunk in two pieces.
    chunk_of[8] = chunk_of[5]
    used = sorted(set(chunk_of) - {-1})
    chunk_of = [used.index(c) if c >= 0 else -1 for c in chunk_of]
    sentences = [sentences[c] for c in used]
    labels = {}
    for relation in AGREEMENTS["relations"]:
        targets = []
        for c, own in enumerate(sentences):
            others = [b for b, other in enumerate(sentences) if other == own and b != c]
            draw = rng.random()
            targets.append(NO_LABEL if draw < 0.2 else -1 if draw < 0.5 or not others else int(rng.choice(others)))
        labels[relation] = {"labels": targets}
    positions = np.sort(rng.choice(offsets[-1], 16, replace=False))
    labels["mlm"] = {"positions": positions.tolist(), "labels": rng.integers(5, VOCAB, 16).tolist()}
    return {
        "tokenIds": ids.tolist(), "segmentIds": segments.tolist(), "sequenceOffsets": offsets,
        "chunks": {"ids": chunk_of, "sentences": sentences}, "labels": labels,
    }


def cases():
    stage1 = [{"kind": "agreement", "name": r, "relation": r, "weight": w} for r, w in zip(AGREEMENTS["relations"], (1.0, 0.5, 2.0))]
    mlm = {"kind": "masked-lm", "name": "mlm", "tap": {"layer": 2}, "weight": 1.0, "transform": False}
    return {
        "stage 1": ("crammed", {}, stage1),
        "stage 1, two relations": ("crammed", {}, stage1[:2]),
        "stage 2": ("crammed", {}, [mlm]),
        "stage 2, BERT": ("bert", {}, [mlm]),
        "stage 2, trained": ("crammed", {"train": True}, [mlm]),
        "stage 2, one off, gates fixed": ("crammed", {"off": ["obj"], "fixedGates": True}, [mlm]),
        "both stages at once": ("crammed", {}, [mlm, stage1[1]]),
        "both at once, trained": ("bert", {"train": True, "off": ["nmod"]}, [mlm, *stage1]),
    }


def main():
    batch = make_batch(np.random.default_rng(20231108))
    output = {"agreements": AGREEMENTS, "batch": batch, "encoders": {}, "cases": {}, "versions": {"torch": torch.__version__.split("+")[0]}}
    for name, (kind, switches, heads) in cases().items():
        model = Model(kind, switches, heads)
        said, hidden, losses = model(batch)
        sum(head["weight"] * losses[head["name"]] for head in heads).backward()
        encoder = model.config.to_dict() | {"model_type": "bert" if kind == "bert" else "stratabert-crammed"}
        encoder.pop("_name_or_path", None)
        output["encoders"][kind] = encoder
        output["cases"][name] = {
            "encoder": kind, "switches": switches, "heads": heads, "losses": {n: loss.item() for n, loss in losses.items()},
            "hidden": [digest(state) for state in hidden],
            "gradients": {n: None if p.grad is None else digest(p.grad) for n, p in model.named()},
        }
        if "probabilities" not in output:
            output["probabilities"] = {
                relation: [torch.softmax(values, 0).tolist() for _, values in scores] for relation, (_, scores) in said.items()
            }
        print(name, output["cases"][name]["losses"], flush=True)
    golden.write(output, os.path.join(HERE, "agreements.json.gz"))


if __name__ == "__main__":
    main()
