"""Exports a BERT sentence encoder (a Hugging Face folder) as the ONNX files that the ONNX Runtime peers of the serving benchmark load.

    export_onnx.py --model DIR --output DIR

The graph is BERT's in the form that ONNX Runtime's BERT fusions recognise (views, transposes, additive mask, as transformers 4 wrote it; the graph
of transformers 5 is left unfused by them). Written are, for a head that gives unit-length means of the token states (`pooled`) and one that
gives the states themselves (`hidden`, for transformers.js, which pools by itself):

- `<head>-fp32.onnx` as exported, `<head>-fp32-fused.onnx` after onnxruntime.transformers.optimizer (Attention, SkipLayerNormalization, BiasGelu);
- dynamic int8 of both by onnxruntime.quantization.quantize_dynamic: weights per tensor (`-pt`) or per channel (`-pc`), with reduced range
  (`-rr`), with unsigned weights (`-u8`).

`export.json` tells versions, fused operators and settings. Every file is checked against PyTorch before it is kept.
"""

import argparse
import json
import os
import shutil
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers import optimizer
from safetensors.torch import load_file

OPSET = 17
# Added to the scores of padding before the softmax, as in BERT's own program.
MASKED = -10000.0
INT8 = {
    "pt": {"per_channel": False},
    "pc": {"per_channel": True},
    "pc-rr": {"per_channel": True, "reduce_range": True},
    "pc-u8": {"per_channel": True, "weight_type": QuantType.QUInt8},
}


class Block(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        hidden, wide, eps = config["hidden_size"], config["intermediate_size"], config["layer_norm_eps"]
        self.heads = config["num_attention_heads"]
        self.size = hidden // self.heads
        self.query, self.key, self.value, self.output = (torch.nn.Linear(hidden, hidden) for _ in range(4))
        self.attention_norm = torch.nn.LayerNorm(hidden, eps=eps)
        self.up, self.down = torch.nn.Linear(hidden, wide), torch.nn.Linear(wide, hidden)
        self.norm = torch.nn.LayerNorm(hidden, eps=eps)

    def split(self, x):
        """(B, S, H) → (B, heads, S, size)."""
        return x.view(x.size()[:-1] + (self.heads, self.size)).permute(0, 2, 1, 3)

    def forward(self, x, mask):
        query, key, value = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        scores = torch.matmul(query, key.transpose(-1, -2)) / self.size**0.5 + mask
        context = torch.matmul(torch.softmax(scores, dim=-1), value).permute(0, 2, 1, 3).contiguous()
        context = context.view(context.size()[:-2] + (self.heads * self.size,))
        x = self.attention_norm(self.output(context) + x)
        return self.norm(self.down(torch.nn.functional.gelu(self.up(x))) + x)


class Encoder(torch.nn.Module):
    def __init__(self, folder, pooled):
        super().__init__()
        with open(os.path.join(folder, "config.json")) as file:
            config = json.load(file)
        self.config, self.pooled = config, pooled
        hidden = config["hidden_size"]
        self.words = torch.nn.Embedding(config["vocab_size"], hidden)
        self.positions = torch.nn.Embedding(config["max_position_embeddings"], hidden)
        self.norm = torch.nn.LayerNorm(hidden, eps=config["layer_norm_eps"])
        self.blocks = torch.nn.ModuleList(Block(config) for _ in range(config["num_hidden_layers"]))
        self.load(load_file(os.path.join(folder, "model.safetensors")))

    def load(self, weights):
        weights = {name.removeprefix("bert."): tensor for name, tensor in weights.items()}
        own = {
            "words.weight": weights["embeddings.word_embeddings.weight"],
            # Every text is of segment 0: its row goes into the positions.
            "positions.weight": weights["embeddings.position_embeddings.weight"]
            + weights["embeddings.token_type_embeddings.weight"][0],
            "norm.weight": weights["embeddings.LayerNorm.weight"],
            "norm.bias": weights["embeddings.LayerNorm.bias"],
        }
        names = {
            "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
            "output": "attention.output.dense", "attention_norm": "attention.output.LayerNorm",
            "up": "intermediate.dense", "down": "output.dense", "norm": "output.LayerNorm",
        }  # fmt: skip
        for layer in range(len(self.blocks)):
            for mine, theirs in names.items():
                for part in ("weight", "bias"):
                    own[f"blocks.{layer}.{mine}.{part}"] = weights[f"encoder.layer.{layer}.{theirs}.{part}"]
        self.load_state_dict(own)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask.unsqueeze(1).unsqueeze(2).to(torch.float32)
        mask = (1.0 - mask) * MASKED
        places = torch.arange(input_ids.size(1)).unsqueeze(0)
        x = self.norm(self.words(input_ids) + self.positions(places))
        for block in self.blocks:
            x = block(x, mask)
        if not self.pooled:
            return x
        weight = attention_mask.unsqueeze(-1).to(torch.float32)
        mean = (x * weight).sum(1) / weight.sum(1)
        return mean / torch.sqrt((mean * mean).sum(1, keepdim=True))


def example():
    ids = torch.randint(1000, 20000, (3, 11), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return ids, mask


def export(model, path, output):
    axes = {0: "batch", 1: "tokens"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, example(), path, input_names=["input_ids", "attention_mask"], output_names=[output],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, output: {0: "batch"} if model.pooled else axes},
            opset_version=OPSET, dynamo=False,
        )  # fmt: skip


def difference(path, expected):
    """Largest cosine distance from PyTorch's vectors of real tokens."""
    ids, mask = (x.numpy() for x in example())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
    if found.ndim == 3:
        found, expected = found[mask == 1], expected[mask == 1]
    cosine = (found * expected).sum(-1) / np.linalg.norm(found, axis=-1) / np.linalg.norm(expected, axis=-1)
    return float(1 - cosine.min())


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--model", required=True)
    arguments.add_argument("--output", required=True)
    options = arguments.parse_args()
    torch.set_num_threads(2)
    partial = f"{options.output}.partial-{os.getpid()}"
    os.makedirs(partial)
    facts = {"torch": torch.__version__, "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__, "files": {}}
    for head, output in (("pooled", "sentence_embedding"), ("hidden", "last_hidden_state")):
        model = Encoder(options.model, pooled=head == "pooled").eval()
        with torch.no_grad():
            expected = model(*example()).numpy()
        plain, fused = (os.path.join(partial, f"{head}-fp32{kind}.onnx") for kind in ("", "-fused"))
        export(model, plain, output)
        made = optimizer.optimize_model(
            plain, model_type="bert", num_heads=model.config["num_attention_heads"],
            hidden_size=model.config["hidden_size"], opt_level=0,
        )  # fmt: skip
        made.save_model_to_file(fused)
        fusions = {name: count for name, count in made.get_fused_operator_statistics().items() if count}
        facts["files"][os.path.basename(plain)] = {"difference": difference(plain, expected)}
        facts["files"][os.path.basename(fused)] = {"difference": difference(fused, expected), "fusions": fusions}
        for kind, source in (("", plain), ("-fused", fused)):
            shaped = os.path.join(partial, "shaped.onnx")
            if kind:
                shutil.copy(source, shaped)
            else:
                quant_pre_process(source, shaped, skip_symbolic_shape=True)
            for name, settings in INT8.items():
                if head == "hidden" and name not in ("pt", "pc"):
                    continue
                path = os.path.join(partial, f"{head}-int8{kind}-{name}.onnx")
                quantize_dynamic(
                    shaped, path, **{"weight_type": QuantType.QInt8, **settings},
                    # Fused operators have no shapes of their own to infer from.
                    extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
                )  # fmt: skip
                operators = sorted({node.op_type for node in onnx.load(path).graph.node})
                facts["files"][os.path.basename(path)] = {
                    "difference": difference(path, expected),
                    "operators": [name for name in operators if "Integer" in name or name.startswith(("Q", "Dynamic"))],
                }
            os.remove(shaped)
    for name, entry in facts["files"].items():
        # Random ids are no text, and harder on int8; the benchmark compares on texts.
        limit = 0.2 if "int8" in name else 1e-5
        if not entry["difference"] <= limit:
            raise SystemExit(f"{name} differs from PyTorch by {entry['difference']:.2g} in cosine, expected at most {limit}")
    with open(os.path.join(partial, "export.json"), "w") as file:
        json.dump(facts, file, indent=2)
    shutil.rmtree(options.output, ignore_errors=True)
    os.rename(partial, options.output)


if __name__ == "__main__":
    main()
