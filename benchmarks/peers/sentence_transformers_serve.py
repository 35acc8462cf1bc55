"""Peer: sentence-transformers' `encode` on PyTorch, as its documentation has it: it sorts by length and pads each batch by itself.

The command loop is that of peers/serve/protocol.mjs.
"""

import argparse
import json
import os
import sys
import time

import numpy as np
import sentence_transformers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules.pooling import Pooling


def peak_rss_bytes():
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return 0


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--folder", required=True)
    arguments.add_argument("--texts", required=True)
    arguments.add_argument("--threads", type=int, required=True)
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with open(options.texts) as file:
        sets = json.load(file)
    opened = {}

    def load(setting):
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[setting["dtype"]]
        body = Transformer(options.folder, max_seq_length=512, model_kwargs={"dtype": dtype})
        model = SentenceTransformer(modules=[body, Pooling(body.get_embedding_dimension(), "mean")], device="cpu")
        size = setting["batches"]["texts"]
        return lambda texts: model.encode(texts, batch_size=size, normalize_embeddings=True, show_progress_bar=False)

    def embed(id, first, count):
        texts = sets["mixed"][first : first + count]
        start = time.perf_counter()
        vectors = opened[id](texts)
        seconds = time.perf_counter() - start
        assert len(vectors) == count
        return {"seconds": seconds}

    def query(id, first, count):
        queries, milliseconds = sets["queries"], []
        for index in range(first, first + count):
            text = [queries[index % len(queries)]]
            start = time.perf_counter()
            opened[id](text)
            milliseconds.append(1000 * (time.perf_counter() - start))
        return {"milliseconds": milliseconds}

    def vectors(id, set, count, file):
        made = np.ascontiguousarray(opened[id](sets[set][:count]), dtype=np.float32)
        made.tofile(file)
        return {"dimension": made.shape[1]}

    def open_setting(id, setting):
        opened[id] = load(setting)
        return {"opened": id}

    handlers = {
        "open": open_setting, "embed": embed, "query": query, "vectors": vectors,
        "memory": lambda: {"peakRssBytes": peak_rss_bytes()},
    }  # fmt: skip

    def answer(value):
        out.write(json.dumps(value) + "\n")
        out.flush()

    answer({
        "ready": True, "torch": torch.__version__, "transformers": transformers.__version__,
        "sentence-transformers": sentence_transformers.__version__,
    })  # fmt: skip
    for line in sys.stdin:
        request = json.loads(line)
        command = request.pop("command")
        if command == "quit":
            return
        answer(handlers[command](**request))


if __name__ == "__main__":
    main()
