"""The peer of bench:conv: full training steps of ResNet-18 for small images in PyTorch eager, in both memory layouts.

usage: conv_step.py ROWS IMAGE_SIZE HIDDEN_SIZES

Each line of standard input is a command, {"layout": "contiguous"|"channels_last", "threads": N or 0 for torch's default,
"steps": K}; the answer is a line with the milliseconds and the processor milliseconds of each step. A step is forward,
backward, clipping at 1 and fused AdamW.
"""

import json
import sys
import time
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

sys.path.insert(0, str(Path(__file__).parents[2] / "parity"))
from cifar_resnet import CifarResnet  # noqa: E402

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class Job:
    def __init__(self, rows, size, widths, layout):
        torch.manual_seed(0)
        memory = FORMATS[layout]
        self.model = CifarResnet([(width, 2) for width in widths]).train().to(memory_format=memory)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
        self.images = torch.randn(rows, 3, size, size).to(memory_format=memory)
        self.labels = torch.randint(0, 10, (rows,))

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = cross_entropy(self.model(self.images), self.labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

    def block(self, steps):
        ms, cpu = [], []
        for _ in range(steps):
            start, busy = time.perf_counter(), time.process_time()
            self.step()
            ms.append((time.perf_counter() - start) * 1000)
            cpu.append((time.process_time() - busy) * 1000)
        return {"ms": ms, "cpuMs": cpu}


def say(message):
    print(json.dumps(message), flush=True)


def main():
    rows, size = int(sys.argv[1]), int(sys.argv[2])
    widths = [int(width) for width in sys.argv[3].split(",")]
    default_threads = torch.get_num_threads()
    jobs = {layout: Job(rows, size, widths, layout) for layout in FORMATS}
    say({"torch": torch.__version__, "threads": default_threads})
    for line in sys.stdin:
        command = json.loads(line)
        torch.set_num_threads(command["threads"] or default_threads)
        say(jobs[command["layout"]].block(command["steps"]))


if __name__ == "__main__":
    main()
