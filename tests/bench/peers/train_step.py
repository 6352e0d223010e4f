"""The peer of bench:throughput, bench:step, bench:memory and test:gpu: full training steps of transformers' BERT in PyTorch.

usage: train_step.py MODEL_FOLDER ROWS TOKENS [fp32|bf16|fp16] [none|bf16|powersgd] [cpu|gpu] [ROWS_JSONL]

The fifth is DDP's communication hook. On GPUs each rank takes the one of its number. Rows are random ones, the same at every
step, or those of a file (columns text and label: a or b), in order, each rank its share; answers then have the ranks' mean loss
of each step too.

With WORLD_SIZE above 1 in the environment it is one rank of DistributedDataParallel over gloo, or NCCL on GPUs. Each line of standard
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
from transformers import AutoModelForSequenceClassification, AutoTokenizer

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


class FileRows:
    """Batches of a file's rows; of each global batch every rank takes its share."""

    def __init__(self, file, folder, tokens):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        with open(file, encoding="utf-8") as stream:
            lines = [json.loads(line) for line in stream]
        texts = [line["text"] for line in lines]
        encoded = tokenizer(texts, truncation=True, max_length=tokens, padding="max_length", return_tensors="pt")
        self.ids, self.mask = encoded["input_ids"], encoded["attention_mask"]
        self.labels = torch.tensor([0 if line["label"] == "a" else 1 for line in lines])

    def batch(self, step, rows, rank, world_size):
        first = (step * world_size + rank) * rows
        places = torch.arange(first, first + rows) % len(self.labels)
        return self.ids[places], self.mask[places], self.labels[places]


class Job:
    def __init__(self, folder, rows, tokens, precision, hook, device, file):
        self.rank = int(os.environ.get("RANK", "0"))
        self.world_size = int(os.environ.get("WORLD_SIZE", "1"))
        torch.manual_seed(self.rank)
        self.device = torch.device("cuda", self.rank) if device == "gpu" else torch.device("cpu")
        if device == "gpu":
            torch.cuda.set_device(self.device)
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).train().to(self.device)
        vocabulary = model.config.vocab_size
        if self.world_size > 1:
            torch.distributed.init_process_group("nccl" if device == "gpu" else "gloo")
            # PowerSGD's reductions begin in callbacks, in another order on each rank: gloo fails but with a single bucket.
            cap = {"bucket_cap_mb": 10_000} if hook == "powersgd" else {}
            model = torch.nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True, **cap)
            register_hook(model, hook)
        self.model = model
        self.compiled = None
        self.narrow = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.01, fused=True)
        self.ids = torch.randint(5, vocabulary, (rows, tokens), device=self.device)
        self.mask = torch.ones_like(self.ids)
        self.labels = torch.randint(0, 2, (rows,), device=self.device)
        self.rows = rows
        self.data = None if file is None else FileRows(file, folder, tokens)
        self.done = 0
        self.losses = []

    def next_batch(self):
        if self.data is None:
            return
        batch = self.data.batch(self.done, self.rows, self.rank, self.world_size)
        self.ids, self.mask, self.labels = (values.to(self.device) for values in batch)
        self.done += 1

    def mean_losses(self):
        """Of the steps since the last call, the mean over ranks."""
        if self.data is None:
            return []
        losses = torch.stack(self.losses)
        self.losses = []
        if self.world_size > 1:
            torch.distributed.all_reduce(losses)
        return (losses / self.world_size).tolist()

    def step(self, model):
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, dtype=self.narrow, enabled=self.narrow is not None):
            loss = model(input_ids=self.ids, attention_mask=self.mask, labels=self.labels).loss
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return loss.detach()

    def block(self, mode, steps):
        if mode == "compile" and self.compiled is None:
            self.compiled = torch.compile(self.model)
        model = self.compiled if mode == "compile" else self.model
        times = []
        for _ in range(steps):
            self.next_batch()
            start = time.perf_counter()
            loss = self.step(model)
            times.append((time.perf_counter() - start) * 1000)
            if self.data is not None:
                self.losses.append(loss)
        return times


def say(message):
    print(json.dumps(message), flush=True)


def main():
    folder, rows, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    default_threads = torch.get_num_threads()
    precision = sys.argv[4] if len(sys.argv) > 4 else "fp32"
    hook = sys.argv[5] if len(sys.argv) > 5 else "none"
    device = sys.argv[6] if len(sys.argv) > 6 else "cpu"
    job = Job(folder, rows, tokens, precision, hook, device, sys.argv[7] if len(sys.argv) > 7 else None)
    say({"torch": torch.__version__, "transformers": transformers.__version__, "threads": default_threads})
    for line in sys.stdin:
        command = json.loads(line)
        torch.set_num_threads(command["threads"] or default_threads)
        ms = job.block(command["mode"], command["steps"])
        say({"ms": ms, "losses": job.mean_losses()})


if __name__ == "__main__":
    main()
