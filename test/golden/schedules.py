"""Learning-rate factors of transformers' and torch's schedulers: writes schedules.json beside this script.

Each row is the factor of the step that follows `step` finished ones, as a training loop sees it.
The triangles are Cramming's (Geiping & Goldstein 2022: get_budget_triangle, get_budget_one_cycle and get_budget_multi_cycle of
its schedulers.py, with steps in place of hours), bert the warmup_linear of BERTAdam (Stickland & Murray 2019), all through torch's
LambdaLR.
"""

import json
from pathlib import Path

import torch
import transformers
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_cosine_with_min_lr_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)


def factors(make, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    values = []
    for _ in range(steps):
        values.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return values


def triangle(steps, base=0.25, falloff=0.25):
    def factor(step):
        return min(
            base + step * (1 - base) / (1 - falloff) / steps, float(1 / falloff - step / (steps * falloff))
        )

    return lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def cycles(steps, count):
    length = int(steps / count)

    def factor(step):
        step = step % length
        return step / (length / 2) if step < length / 2 else 2 - step / (length / 2)

    return lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def bert(warmup, steps, final=0.0):
    """Rises to 1 over a share of the budget, then goes on from 1 - share: a jump."""

    def factor(step):
        x = step / steps
        return x / warmup if x < warmup else 1.0 - (1.0 - final) * x

    return lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def linear_to(warmup, steps, final):
    """torch's own: LinearLR up, then LinearLR down to `final`."""

    def make(optimizer):
        up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / warmup)
        down = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, final, total_iters=steps - warmup)
        return torch.optim.lr_scheduler.SequentialLR(optimizer, [up, down], milestones=[warmup])

    return make


def main():
    steps = 40
    cases = []

    def add(kind, warmup, final, make):
        schedule = {"kind": kind, "warmup": warmup, "finalFactor": final}
        cases.append({"schedule": schedule, "steps": steps, "factors": factors(make, steps)})

    for warmup in (0, 1, 7, 39):
        add("linear", warmup, 0, lambda o, w=warmup: get_linear_schedule_with_warmup(o, w, steps))
        add("cosine", warmup, 0, lambda o, w=warmup: get_cosine_schedule_with_warmup(o, w, steps))
        add("constant", warmup, 1, lambda o, w=warmup: get_constant_schedule_with_warmup(o, w))
    add("linear", 8, 0.1, linear_to(8, steps, 0.1))
    add("cosine", 8, 0.1, lambda o: get_cosine_with_min_lr_schedule_with_warmup(o, 8, steps, min_lr_rate=0.1))
    # A share of the budget: 0.2 of 40 steps.
    add("linear", 0.2, 0, lambda o: get_linear_schedule_with_warmup(o, 8, steps))
    add("cosine", 0.2, 0, lambda o: get_cosine_schedule_with_warmup(o, 8, steps))
    add("triangle", 0, 0, triangle(steps))
    add("triangle1", 0, 0, triangle(steps, base=0.5))
    add("triangle2", 0, 0, triangle(steps))
    add("one-cycle", 0, 0, cycles(steps, 1))
    add("multi-cycle", 0, 0, cycles(steps, 8))
    add("bert", 0.1, 0, bert(0.1, steps))
    add("bert", 0, 0, lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1.0 - step / steps))
    add("bert", 8, 0.2, bert(8 / steps, steps, 0.2))

    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps({"versions": versions, "cases": cases}, indent=1) + "\n")


main()
