"""Sentence vectors of a Hugging Face BERT folder (mean over tokens, unit length), computed with transformers in float32.

  make the fixture:   python test/golden/sentence_vectors.py ../shared/data/minilm_l6 --fixture test/golden/minilm_vectors.json
  compare a file:     stratabert embed MODEL --input TEXTS --pooling mean --normalize --output VECTORS
                      python test/golden/sentence_vectors.py MODEL --texts TEXTS --vectors VECTORS

The comparison prints the smallest, mean and largest cosine to transformers' vectors as JSON.
"""

import argparse
import json

import torch
from transformers import AutoModel, AutoTokenizer

TEXTS = [
    "A man with a hard hat is dancing.",
    "A man wearing a hard hat is dancing.",
    "",
    "Zürich, São Paulo and 東京 — “three cities” 🙂",
    "one",
    "word " * 700,
    "The quick brown fox jumps over the lazy dog. " * 9,
    "[MASK] is a special token here.",
]


def vectors(folder, texts, batch=32):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, torch_dtype=torch.float32).eval()
    rows = []
    with torch.no_grad():
        for start in range(0, len(texts), batch):
            inputs = tokenizer(texts[start : start + batch], padding=True, truncation=True, max_length=512, return_tensors="pt")
            states = model(**inputs).last_hidden_state
            mask = inputs["attention_mask"][..., None].to(states.dtype)
            mean = (states * mask).sum(1) / mask.sum(1)
            rows.append(torch.nn.functional.normalize(mean, dim=-1))
    return torch.cat(rows)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder")
    arguments.add_argument("--fixture")
    arguments.add_argument("--texts")
    arguments.add_argument("--vectors")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    if options.fixture:
        rows = [[float(f"{value:.8g}") for value in row] for row in vectors(options.folder, TEXTS, batch=1).tolist()]
        with open(options.fixture, "w") as file:
            json.dump({"texts": TEXTS, "vectors": rows}, file)
        return
    texts = open(options.texts, encoding="utf-8").read().removesuffix("\n").split("\n")
    ours = torch.tensor([json.loads(line) for line in open(options.vectors)], dtype=torch.float64)
    theirs = vectors(options.folder, texts).to(torch.float64)
    cosines = torch.nn.functional.cosine_similarity(ours, theirs)
    figures = {"texts": len(texts), "min": cosines.min().item(), "mean": cosines.mean().item(), "max": cosines.max().item()}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
