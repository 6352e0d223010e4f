"""The peer of bench:ring: torch.distributed.all_reduce of float32 over gloo. Prints one JSON line from rank 0.

usage: gloo_all_reduce.py WORLD_SIZE REPEATS MEGABYTES [MEGABYTES ...]
"""

import json
import os
import sys
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run(rank, world_size, repeats, sizes, port):
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // world_size))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
    dist.init_process_group("gloo", rank=rank, world_size=world_size)
    results = {}
    for size in sizes:
        vector = torch.randn(size * 1_000_000 // 4)
        times = []
        for _ in range(repeats + 2):
            dist.barrier()
            start = time.perf_counter()
            dist.all_reduce(vector)
            times.append((time.perf_counter() - start) * 1000)
        results[str(size)] = times[2:]
    if rank == 0:
        print(json.dumps({"ms": results, "torch": torch.__version__}))
    dist.destroy_process_group()


if __name__ == "__main__":
    count = int(sys.argv[1])
    arguments = (count, int(sys.argv[2]), [int(size) for size in sys.argv[3:]], 20000 + os.getpid() % 20000)
    mp.spawn(run, args=arguments, nprocs=count)
