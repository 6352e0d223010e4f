"""The peer of bench:ring: one rank of torch.distributed.all_reduce of float32 over gloo, told by its parent what to do.

usage: gloo_all_reduce.py RANK WORLD_SIZE PORT    then, line by line on its standard input: `size MEGABYTES` or `run`.
Each line is answered by one line of JSON.
"""

import json
import os
import sys
import time

import torch
import torch.distributed as dist


def main(rank, world_size, port):
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // world_size))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
    dist.init_process_group("gloo", rank=rank, world_size=world_size)
    print(json.dumps({"torch": torch.__version__}), flush=True)
    vector = torch.zeros(1)
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "size":
            vector = torch.randn(int(float(rest[0]) * 1_000_000) // 4)
            print(json.dumps({}), flush=True)
        else:
            dist.barrier()
            start = time.perf_counter()
            dist.all_reduce(vector)
            ms = (time.perf_counter() - start) * 1000
            # Sums of sums grow beyond float32; the values do not matter otherwise.
            vector.mul_(1.0 / world_size)
            print(json.dumps({"ms": ms}), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:4]))
