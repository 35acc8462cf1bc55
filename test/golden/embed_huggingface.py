"""Mean-pooled, unit-length sentence vectors of a Hugging Face folder, computed by transformers.

  python test/golden/embed_huggingface.py --folder ../shared/data/minilm_l6 --sentences ../shared/data/glue/STS-B/dev.tsv

Takes column sentence1 of the first 1,000 rows and writes test/golden/embed_minilm_l6.f16: float16 (1000, 384), row-major.
Rounding unit vectors to float16 moves a cosine by less than 1e-7. Used by 44.embed.test.ts.
"""

import argparse
import os

import torch
from transformers import AutoModel, AutoTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
arguments = argparse.ArgumentParser()
arguments.add_argument("--folder", required=True)
arguments.add_argument("--sentences", required=True)
options = arguments.parse_args()
with open(options.sentences, encoding="utf8") as file:
    sentences = [line.rstrip("\n").split("\t")[7] for line in file][1:1001]
tokenizer = AutoTokenizer.from_pretrained(options.folder)
model = AutoModel.from_pretrained(options.folder).eval()
rows = []
with torch.no_grad():
    for start in range(0, len(sentences), 50):
        batch = tokenizer(sentences[start : start + 50], padding=True, truncation=True, return_tensors="pt")
        states = model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).float()
        rows.append(torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1))
with open(os.path.join(HERE, "embed_minilm_l6.f16"), "wb") as file:
    file.write(torch.cat(rows).half().numpy().tobytes())
