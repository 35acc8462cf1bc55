"""torch's rate in one bf16 product (rows × inputs) (inputs × outputs) on a device: the ceiling that shares are quoted against.

Prints one JSON line.
"""

import argparse
import json
import statistics
import time

import torch

PRODUCTS, ROUNDS = 20, 10


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--device", default="cuda")
    for size in ("rows", "inputs", "outputs"):
        arguments.add_argument(size, type=int)
    options = arguments.parse_args()
    x = torch.randn(options.rows, options.inputs, dtype=torch.bfloat16, device=options.device)
    w = torch.randn(options.outputs, options.inputs, dtype=torch.bfloat16, device=options.device)

    def seconds():
        start = time.perf_counter()
        for _ in range(PRODUCTS):
            torch.nn.functional.linear(x, w)
        if options.device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    seconds()
    times = [seconds() for _ in range(ROUNDS)]
    flops = 2 * options.rows * options.inputs * options.outputs * PRODUCTS
    print(json.dumps({"flopsPerSecond": flops / statistics.median(times)}))


if __name__ == "__main__":
    main()
