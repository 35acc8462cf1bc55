"""Writes test/golden/from-python.safetensors with Hugging Face's own library: every dtype that this package reads, a scalar,
an empty tensor, a name outside ASCII and metadata. The values are powers and small fractions, exact in each dtype.

Run: .venv/bin/python test/golden/safetensors_file.py
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

values = torch.tensor([0.5, -1.25, 3.0, 0.0, -2.0, 64.0])
save_file(
    {
        "f64": values.double().reshape(2, 3),
        "f32": values.reshape(3, 2),
        "f16": values.half(),
        "bf16": values.bfloat16(),
        "i64": torch.arange(4),
        "u8": torch.arange(5, dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(7.5),
        "empty": torch.empty(0, 4),
        "größe.β": torch.ones(1),
    },
    Path(__file__).with_name("from-python.safetensors"),
    metadata={"format": "pt", "note": 'quotes " and ünïcode'},
)
