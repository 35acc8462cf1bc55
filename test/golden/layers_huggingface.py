"""What `stratabert layers` says of a Hugging Face folder, held against transformers in float64 and NumPy.

  python test/golden/layers_huggingface.py FOLDER layers.json sentences.txt

sentences.txt: the sentences that layers.json was made of, one a line; a text of one sentence a paragraph, with blank lines between,
gives them back. Prints the largest difference of any head's figure and of CKA by token.
"""

import json
import sys

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

NAMES = ("distance", "entropy", "first", "separators")


def main(folder, analysis, text):
    with open(analysis) as file:
        found = json.load(file)
    with open(text) as file:
        sentences = [line.strip() for line in file if line.strip()]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").double().eval()
    shape = (model.config.num_hidden_layers, model.config.num_attention_heads)
    sums, queries, rows = {name: np.zeros(shape) for name in NAMES}, 0, []
    for sentence in sentences:
        encoded = tokenizer(sentence, return_tensors="pt", truncation=True, max_length=model.config.max_position_embeddings)
        ids = encoded["input_ids"][0].numpy()
        with torch.no_grad():
            out = model(**encoded, output_attentions=True, output_hidden_states=True)
        p = np.stack([a[0].numpy() for a in out.attentions])
        distance = np.abs(np.subtract.outer(np.arange(len(ids)), np.arange(len(ids))))
        sums["distance"] += (p * distance).sum((-1, -2))
        sums["entropy"] -= np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum((-1, -2))
        sums["first"] += p[..., 0].sum(-1)
        sums["separators"] += p[..., ids == tokenizer.sep_token_id].sum((-1, -2))
        queries += len(ids)
        keep = (ids != tokenizer.cls_token_id) & (ids != tokenizer.sep_token_id)
        rows.append([h[0].numpy()[keep] for h in out.hidden_states])
    print(f"tokens: {queries}, in the file {found['data']['tokens']}")
    for name in NAMES:
        ours = np.zeros(shape)
        for head in found["attention"]:
            ours[head["layer"] - 1, head["head"] - 1] = head[name]
        print(f"{name}: largest difference {np.abs(sums[name] / queries - ours).max():.2g}")
    states = [x - x.mean(0) for x in (np.concatenate(layer) for layer in zip(*rows))]
    norm = np.linalg.norm
    selves = [norm(x.T @ x) for x in states]
    cka = [[norm(y.T @ x) ** 2 / a / b for y, b in zip(states, selves)] for x, a in zip(states, selves)]
    print(f"CKA: largest difference {np.abs(np.array(cka) - np.array(found['cka']['matrix'])).max():.2g}")


main(*sys.argv[1:])
