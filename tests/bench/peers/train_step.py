"""The peer of bench:throughput, bench:step and bench:memory: full training steps of transformers' BERT in PyTorch.

usage: train_step.py MODEL_FOLDER ROWS TOKENS [fp32|bf16] [none|bf16|powersgd]

The last argument is DDP's communication hook.

With WORLD_SIZE above 1 in the environment it is one rank of DistributedDataParallel over gloo. Each line of standard
input is a command, {"mode": "eager"|"compile", "threads": N or 0 for torch's default, "steps": K}; the answer is a line
with the milliseconds of each step. A step is forward, backward, clipping at 1 and fused AdamW over the folder's model, its
dropout included, on rows that fill all their tokens.
"""

import json
import os
import sys
import time

import torch
import transformers
from transformers import AutoModelForSequenceClassification

transformers.logging.set_verbosity_error()


def register_hook(model, hook):
    from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook

    if hook == "bf16":
        # DDP refuses this hook by name without NCCL; gloo can do what it does.
        model.register_comm_hook(None, lambda state, bucket: default_hooks.bf16_compress_hook(state, bucket))
    elif hook == "powersgd":
        # The least rank, begun as early as PyTorch allows: the most compression that it has.
        state = powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=1, start_powerSGD_iter=2)
        model.register_comm_hook(state, powerSGD_hook.powerSGD_hook)


class Job:
    def __init__(self, folder, rows, tokens, precision, hook):
        self.rank = int(os.environ.get("RANK", "0"))
        self.world_size = int(os.environ.get("WORLD_SIZE", "1"))
        torch.manual_seed(self.rank)
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).train()
        vocabulary = model.config.vocab_size
        if self.world_size > 1:
            torch.distributed.init_process_group("gloo")
            # PowerSGD's reductions begin in callbacks, in another order on each rank: gloo fails but with a single bucket.
            cap = {"bucket_cap_mb": 10_000} if hook == "powersgd" else {}
            model = torch.nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True, **cap)
            register_hook(model, hook)
        self.model = model
        self.compiled = None
        self.precision = precision
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.01, fused=True)
        self.ids = torch.randint(5, vocabulary, (rows, tokens))
        self.mask = torch.ones_like(self.ids)
        self.labels = torch.randint(0, 2, (rows,))

    def step(self, model):
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            loss = model(input_ids=self.ids, attention_mask=self.mask, labels=self.labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

    def block(self, mode, steps):
        if mode == "compile" and self.compiled is None:
            self.compiled = torch.compile(self.model)
        model = self.compiled if mode == "compile" else self.model
        times = []
        for _ in range(steps):
            start = time.perf_counter()
            self.step(model)
            times.append((time.perf_counter() - start) * 1000)
        return times


def say(message):
    print(json.dumps(message), flush=True)


def main():
    folder, rows, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    default_threads = torch.get_num_threads()
    precision = sys.argv[4] if len(sys.argv) > 4 else "fp32"
    job = Job(folder, rows, tokens, precision, sys.argv[5] if len(sys.argv) > 5 else "none")
    say({"torch": torch.__version__, "transformers": transformers.__version__, "threads": default_threads})
    for line in sys.stdin:
        command = json.loads(line)
        torch.set_num_threads(command["threads"] or default_threads)
        say({"ms": job.block(command["mode"], command["steps"])})


if __name__ == "__main__":
    main()
