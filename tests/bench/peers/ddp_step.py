"""The peer of bench:throughput: PyTorch DDP over gloo at MiniLM's shape. Prints one JSON line from rank 0.

usage: ddp_step.py WORLD_SIZE STEPS [ROWS TOKENS]

Every rank trains on its own batch (8 rows of 128 tokens by default) with transformers' BertForSequenceClassification, the
model's own dropout 0.1, fused AdamW and clipping at 1; the cores are shared out among the ranks.
"""

import json
import os
import sys
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import transformers
from transformers import BertConfig, BertForSequenceClassification


def run(rank, world_size, steps, rows, tokens, port):
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // world_size))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
    torch.manual_seed(rank)
    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    model = BertForSequenceClassification(config).train()
    if world_size > 1:
        dist.init_process_group("gloo", rank=rank, world_size=world_size)
        model = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.01, fused=True)
    ids = torch.randint(1000, 30000, (rows, tokens))
    mask = torch.ones_like(ids)
    labels = torch.randint(0, 2, (rows,))
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        times.append((time.perf_counter() - start) * 1000)
    if rank == 0:
        print(json.dumps({
            "stepMs": times,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "threadsPerRank": torch.get_num_threads(),
        }))
    if world_size > 1:
        dist.destroy_process_group()


def main():
    world_size, steps = int(sys.argv[1]), int(sys.argv[2])
    rows, tokens = (int(sys.argv[3]), int(sys.argv[4])) if len(sys.argv) > 4 else (8, 128)
    port = 20000 + os.getpid() % 20000
    if world_size == 1:
        run(0, 1, steps, rows, tokens, port)
    else:
        mp.spawn(run, args=(world_size, steps, rows, tokens, port), nprocs=world_size)


if __name__ == "__main__":
    main()
