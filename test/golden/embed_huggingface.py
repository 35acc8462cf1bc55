"""Mean-pooled, unit-length sentence vectors of a Hugging Face folder, computed by transformers.

  python test/golden/embed_huggingface.py --folder DIR --input sentences.json --output vectors.f32

Writes float32 (sentences, hidden size), row-major. Used by 44.embed.test.ts.
"""

import argparse
import json

import torch
from transformers import AutoModel, AutoTokenizer

arguments = argparse.ArgumentParser()
for name in ("--folder", "--input", "--output"):
    arguments.add_argument(name, required=True)
options = arguments.parse_args()
sentences = json.load(open(options.input))
tokenizer = AutoTokenizer.from_pretrained(options.folder)
model = AutoModel.from_pretrained(options.folder).eval()
rows = []
with torch.no_grad():
    for start in range(0, len(sentences), 50):
        batch = tokenizer(sentences[start : start + 50], padding=True, truncation=True, return_tensors="pt")
        states = model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).float()
        rows.append(torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1))
with open(options.output, "wb") as file:
    file.write(torch.cat(rows).numpy().tobytes())
