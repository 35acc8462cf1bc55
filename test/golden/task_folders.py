"""Folders of transformers' task classes and their logits, for 42.task-folders.test.ts.

  python test/golden/task_folders.py                                 writes test/golden/task_folders/
  python test/golden/task_folders.py --open DIR --input inputs.json --output out.json
                                                                     what the class named in DIR/config.json computes

inputs.json and task_folders/logits.json: { "tokenIds": [[...]], "segmentIds": [[...]] }, one list a sequence; logits by folder,
one list a sequence: the classes of a sequence; of each token; start and end of each token.
"""

import argparse
import json
import os

import torch
import transformers

from reference import small_config

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "task_folders")
TOKEN_IDS = [[2, 17, 24, 9, 3, 8, 5, 3], [2, 26, 3], [2, 5, 6, 7, 11, 3, 12, 13, 14, 15, 16, 29, 3]]
INPUTS = {"tokenIds": TOKEN_IDS, "segmentIds": [[0 if place < 4 else 1 for place in range(len(ids))] for ids in TOKEN_IDS]}
FOLDERS = {
    "sequence": ("BertForSequenceClassification", ["entailment", "neutral", "contradiction"], {}),
    "regression": ("BertForSequenceClassification", ["score"], {"problem_type": "regression"}),
    "token": ("BertForTokenClassification", ["O", "B-PER", "I-PER", "B-LOC"], {"classifier_dropout": 0.2}),
    "span": ("BertForQuestionAnswering", None, {}),
}


def config_of(labels, more):
    config = small_config(layers=2, hidden=8, heads=2, intermediate=24, vocab=30, positions=16)
    values = {**config.to_dict(), **more}
    if labels:
        values["id2label"] = dict(enumerate(labels))
        values["label2id"] = {label: index for index, label in enumerate(labels)}
    return transformers.BertConfig.from_dict(values)


def logits_of(model, inputs):
    model.eval()
    results = []
    with torch.no_grad():
        for ids, segments in zip(inputs["tokenIds"], inputs["segmentIds"]):
            tokens, types = torch.tensor([ids]), torch.tensor([segments])
            if type(model).__name__ == "BertForMultipleChoice":
                results.append(model(tokens[None], token_type_ids=types[None]).logits[0].tolist())
                continue
            out = model(tokens, token_type_ids=types)
            if hasattr(out, "start_logits"):
                results.append(torch.stack([out.start_logits[0], out.end_logits[0]], dim=1).tolist())
            else:
                results.append(out.logits[0].tolist())
    return results


def make():
    os.makedirs(HERE, exist_ok=True)
    logits = {}
    for name, (cls, labels, more) in FOLDERS.items():
        torch.manual_seed(7)
        model = getattr(transformers, cls)(config_of(labels, more))
        with torch.no_grad():
            for parameter in model.parameters():
                # No bias at 0 and no LayerNorm weight at 1, so that a tensor left out is seen.
                parameter.add_(0.3 * torch.randn_like(parameter))
        model.save_pretrained(os.path.join(HERE, name))
        logits[name] = logits_of(model, INPUTS)
    with open(os.path.join(HERE, "logits.json"), "w") as file:
        json.dump({**INPUTS, "logits": logits}, file)


def open_folder(folder, inputs, output):
    with open(os.path.join(folder, "config.json")) as file:
        cls = getattr(transformers, json.load(file)["architectures"][0])
    model, report = cls.from_pretrained(folder, output_loading_info=True)
    with open(inputs) as file:
        logits = logits_of(model, json.load(file))
    result = {
        "class": cls.__name__,
        "logits": logits,
        "labels": [model.config.id2label[index] for index in range(model.config.num_labels)],
        "problemType": model.config.problem_type,
        "missing": sorted(report["missing_keys"]),
        "unexpected": sorted(report["unexpected_keys"]),
    }
    with open(output, "w") as file:
        json.dump(result, file)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--open")
    arguments.add_argument("--input")
    arguments.add_argument("--output")
    options = arguments.parse_args()
    if options.open:
        open_folder(options.open, options.input, options.output)
    else:
        make()


if __name__ == "__main__":
    main()
