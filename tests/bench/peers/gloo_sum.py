"""The peer of bench:numerics: one rank of a float32 all-reduce over gloo, of a vector in a file.

usage: gloo_sum.py FILE    with RANK and WORLD_SIZE in the environment: adds up FILE.0, FILE.1, … and writes FILE.sum
"""

import json
import os
import sys

import torch
import torch.distributed as dist

file = sys.argv[1]
rank = int(os.environ["RANK"])
vector = torch.frombuffer(bytearray(open(f"{file}.{rank}", "rb").read()), dtype=torch.float32)
dist.init_process_group("gloo")
dist.all_reduce(vector)
if rank == 0:
    with open(f"{file}.sum", "wb") as out:
        out.write(vector.numpy().tobytes())
print(json.dumps({"torch": torch.__version__}), flush=True)
sys.stdin.read()
