"""Measures PyTorch's matrix products. Each line of standard input is a command, {"calls": K, "precision": "fp32"|"bf16",
"products": [{"m", "k", "n", "transposeA", "transposeB"}, …]}; the answer holds the milliseconds of a call of each.
"""

import json
import sys
import time

import torch

operands = {}


def measure(product, calls, precision):
    m, k, n = product["m"], product["k"], product["n"]
    key = (json.dumps(product), precision)
    if key not in operands:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        a = torch.randn((k, m) if product["transposeA"] else (m, k)).to(dtype)
        b = torch.randn((n, k) if product["transposeB"] else (k, n)).to(dtype)
        operands[key] = (a.t() if product["transposeA"] else a, b.t() if product["transposeB"] else b)
    a, b = operands[key]
    out = torch.empty((m, n), dtype=a.dtype)
    torch.mm(a, b, out=out)
    start = time.perf_counter()
    for _ in range(calls):
        torch.mm(a, b, out=out)
    return (time.perf_counter() - start) * 1000 / calls


def main():
    print(json.dumps({"torch": torch.__version__}), flush=True)
    with torch.no_grad():
        for line in sys.stdin:
            command = json.loads(line)
            ms = [measure(p, command["calls"], command["precision"]) for p in command["products"]]
            print(json.dumps({"ms": ms}), flush=True)


if __name__ == "__main__":
    main()
