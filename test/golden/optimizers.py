"""What 50 given gradients make of a few weights: writes optimizers.json beside this script.

AdamW, Adamax and SGD are torch.optim's. MT-DNN's Adamax and BERTAdam are written down here from the papers and their published
code: Liu et al. 2019 (arXiv 1901.11504), Stickland & Murray 2019 (arXiv 1902.02671). All in float64; the gradients are those of
optimizers-gradients.json (optimizers-gradients.ts).
"""

import base64
import json
import os

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = 50


def read_fixture():
    with open(os.path.join(HERE, "optimizers-gradients.json")) as file:
        fixture = json.load(file)
    sizes = [int(np.prod(shape)) for shape in fixture["shapes"]]
    borders = np.cumsum(sizes)[:-1]

    def tensors(flat):
        return [part.reshape(shape) for part, shape in zip(np.split(flat, borders), fixture["shapes"])]

    values = tensors(np.frombuffer(base64.b64decode(fixture["values"]), "<f8"))
    rows = np.frombuffer(base64.b64decode(fixture["gradients"]), "<f8").reshape(STEPS, -1)
    return fixture["names"], values, [tensors(row) for row in rows]


def linear(step):
    """Warm-up over 5 steps, then down to 0."""
    return step / 5 if step < 5 else (STEPS - step) / (STEPS - 5)


def bert(step, warmup=0.1):
    """warmup_linear of BERTAdam."""
    x = step / STEPS
    return x / warmup if x < warmup else 1.0 - x


def group_of(name, decay):
    """Biases and LayerNorm do not decay; heads learn at half the rate."""
    plain = name.endswith("bias") or "LayerNorm" in name
    return 0.0 if plain else decay, 0.5 if name.startswith("heads.") else 1.0


def with_torch(make, names, values, gradients, settings):
    parameters = [torch.nn.Parameter(torch.tensor(value)) for value in values]
    groups = []
    for name, parameter in zip(names, parameters):
        decay, factor = group_of(name, settings["weightDecay"])
        groups.append({"params": [parameter], "weight_decay": decay, "factor": factor})
    optimizer = make(groups)
    for step in range(STEPS):
        for parameter, gradient in zip(parameters, gradients[step]):
            parameter.grad = torch.tensor(gradient)
        if settings["maxGradNorm"]:
            torch.nn.utils.clip_grad_norm_(parameters, settings["maxGradNorm"])
        for group in optimizer.param_groups:
            group["lr"] = settings["rates"][step] * group["factor"]
        optimizer.step()
    return [parameter.detach().numpy() for parameter in parameters]


def clip_all(gradients, limit):
    if not limit:
        return gradients
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    return [g * min(1.0, limit / (norm + 1e-6)) for g in gradients]


def clip_each(gradients, limit):
    if not limit:
        return gradients
    return [g * min(1.0, limit / (np.sqrt((g**2).sum()) + 1e-6)) for g in gradients]


def with_numpy(rule, names, values, gradients, settings):
    weights = [value.copy() for value in values]
    first = [np.zeros_like(value) for value in values]
    second = [np.zeros_like(value) for value in values]
    b1, b2, eps = settings["beta1"], settings["beta2"], settings["epsilon"]
    for step in range(STEPS):
        clipped = clip_all(clip_each(gradients[step], settings["maxTensorGradNorm"]), settings["maxGradNorm"])
        for i, (name, g) in enumerate(zip(names, clipped)):
            decay, factor = group_of(name, settings["weightDecay"])
            first[i] = b1 * first[i] + (1 - b1) * g
            if rule == "mt-dnn adamax":
                second[i] = np.maximum(b2 * second[i], np.abs(g) + eps)
                update = first[i] / (second[i] + eps)
            else:
                second[i] = b2 * second[i] + (1 - b2) * g * g
                update = first[i] / (np.sqrt(second[i]) + eps)
            weights[i] = weights[i] - settings["rates"][step] * factor * (update + decay * weights[i])
    return weights


def main():
    names, values, gradients = read_fixture()
    moments = {"beta1": 0.9, "beta2": 0.999}
    down = [1e-2 * linear(step) for step in range(STEPS)]
    jump = [1e-2 * bert(step) for step in range(STEPS)]
    level = [1e-2] * STEPS
    cases = []

    def add(label, options, run, rates, decay=0.01, clip=1.0, tensor_clip=0.0):
        settings = {"weightDecay": decay, "maxGradNorm": clip, "maxTensorGradNorm": tensor_clip, "rates": rates, **options}
        final = np.concatenate([weight.ravel() for weight in run(settings)])
        cases.append({"label": label, "options": options, **settings,
                      "final": base64.b64encode(final.astype("<f8").tobytes()).decode()})

    def torch_run(make):
        return lambda settings: with_torch(lambda groups: make(groups, settings), names, values, gradients, settings)

    def numpy_run(rule):
        return lambda settings: with_numpy(rule, names, values, gradients, settings)

    betas = lambda s: {"betas": (s["beta1"], s["beta2"]), "eps": s["epsilon"]}  # noqa: E731
    add("AdamW of torch", {"kind": "adamw", **moments, "epsilon": 1e-8},
        torch_run(lambda groups, s: torch.optim.AdamW(groups, **betas(s))), down)
    add("Adamax of torch", {"kind": "adamax", "variant": "torch", **moments, "epsilon": 1e-8},
        torch_run(lambda groups, s: torch.optim.Adamax(groups, **betas(s))), down)
    add("Adamax of MT-DNN", {"kind": "adamax", "variant": "mt-dnn", **moments, "epsilon": 1e-6}, numpy_run("mt-dnn adamax"), down)
    add("BERTAdam: its schedule, each tensor clipped", {"kind": "bert-adam", **moments, "epsilon": 1e-6},
        numpy_run("bert adam"), jump, clip=0.0, tensor_clip=1.0)
    add("SGD of torch", {"kind": "sgd"}, torch_run(lambda groups, s: torch.optim.SGD(groups, lr=0.0)), level, clip=0.0)
    add("SGD of torch, momentum and dampening", {"kind": "sgd", "momentum": 0.9, "dampening": 0.25},
        torch_run(lambda groups, s: torch.optim.SGD(groups, lr=0.0, momentum=0.9, dampening=0.25)), level)
    add("SGD of torch, Nesterov", {"kind": "sgd", "momentum": 0.9, "nesterov": True},
        torch_run(lambda groups, s: torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True)), down, decay=0.1)

    for case in cases:
        for key in case["options"]:
            del case[key]
    versions = {"torch": torch.__version__, "numpy": np.__version__}
    with open(os.path.join(HERE, "optimizers.json"), "w") as file:
        json.dump({"versions": versions, "cases": cases}, file, indent=1)
        file.write("\n")


main()
