"""Tensor names and shapes of transformers' BERT classes: writes test/golden/huggingface_names.json."""

import json
import os

from transformers import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)

from reference import small_config

config = small_config(layers=2, hidden=8, heads=2, intermediate=24, vocab=11, positions=6)
names = {
    cls.__name__: {name: list(tensor.shape) for name, tensor in cls(config).state_dict().items()}
    for cls in (
        BertModel,
        BertForMaskedLM,
        BertForNextSentencePrediction,
        BertForPreTraining,
        BertForSequenceClassification,
        BertForTokenClassification,
        BertForQuestionAnswering,
        BertForMultipleChoice,
    )
}
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "huggingface_names.json")
with open(path, "w") as file:
    json.dump({"config": config.to_dict(), "tensors": names}, file, indent=1)
    file.write("\n")
