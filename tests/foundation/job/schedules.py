"""Writes schedules.json beside this file: learning rates as transformers and torch compute them.

Needs `pip install torch==2.13.0 transformers==4.57.6`; run it as `python schedules.py`.
Each case holds the rate of every update (the one that the trainer logs), and for reduce_lr_on_plateau the metric at
each evaluation with the step after which it ran.
"""

import json
from pathlib import Path

import torch
from transformers import get_inverse_sqrt_schedule, get_scheduler

PEAK = 3e-4
TOTAL = 40

CASES = [
    ("linear", 0, {}),
    ("linear", 6, {}),
    ("linear", 60, {}),
    ("cosine", 4, {}),
    ("cosine", 0, {"num_cycles": 1.5}),
    ("cosine_with_restarts", 4, {"num_cycles": 3}),
    ("polynomial", 5, {}),
    ("polynomial", 5, {"power": 2.0, "lr_end": 1e-5}),
    ("constant", 5, {}),
    ("constant_with_warmup", 5, {}),
    ("inverse_sqrt", 5, {}),
    ("inverse_sqrt", 0, {}),
    ("inverse_sqrt", 5, {"timescale": 12}),
    ("cosine_with_min_lr", 4, {"min_lr": 1e-5}),
    ("cosine_with_min_lr", 4, {"min_lr_rate": 0.2, "num_cycles": 1.0}),
    ("cosine_warmup_with_min_lr", 4, {"min_lr": 1e-5}),
    ("cosine_warmup_with_min_lr", 4, {"min_lr_rate": 0.1, "warmup_lr_rate": 0.3}),
    ("warmup_stable_decay", 4, {"num_decay_steps": 12}),
    (
        "warmup_stable_decay",
        4,
        {
            "num_decay_steps": 10,
            "num_stable_steps": 20,
            "min_lr_ratio": 0.1,
            "warmup_type": "cosine",
            "decay_type": "1-sqrt",
        },
    ),
    (
        "warmup_stable_decay",
        4,
        {"num_decay_steps": 12, "warmup_type": "1-sqrt", "decay_type": "linear"},
    ),
]

PLATEAUS = [
    ({"patience": 1}, [0.9, 0.8, 0.81, 0.82, 0.83, 0.7, 0.71, 0.72, 0.73, 0.74]),
    (
        {"mode": "max", "patience": 0, "factor": 0.5, "cooldown": 2, "threshold": 0.01},
        [0.5, 0.6, 0.6005, 0.3, 0.3, 0.3, 0.9, 0.2, 0.1, 0.1],
    ),
    (
        {"patience": 0, "threshold_mode": "abs", "threshold": 0.05, "min_lr": 1e-5},
        [0.9, 0.88, 0.8, 0.79, 0.78, 0.77, 0.76, 0.5, 0.5, 0.5],
    ),
]


def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)


def rates(name, warmup, kwargs):
    chosen = optimizer()
    if name == "inverse_sqrt":
        # As transformers 5 does; 4.57's get_scheduler drops the timescale.
        schedule = get_inverse_sqrt_schedule(chosen, warmup, **kwargs)
    else:
        schedule = get_scheduler(name, chosen, warmup, TOTAL, scheduler_specific_kwargs=kwargs)
    values = []
    for _ in range(TOTAL):
        values.append(chosen.param_groups[0]["lr"])
        chosen.step()
        schedule.step()
    return values


def plateau(kwargs, metrics):
    chosen = optimizer()
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(chosen, **kwargs)
    values = []
    evaluations = []
    every = TOTAL // len(metrics)
    for step in range(1, TOTAL + 1):
        values.append(chosen.param_groups[0]["lr"])
        if step % every == 0:
            value = metrics[step // every - 1]
            schedule.step(value)
            evaluations.append({"step": step, "value": value})
    return values, evaluations


cases = [
    {"type": name, "warmupSteps": warmup, "kwargs": kwargs, "evaluations": [], "rates": rates(name, warmup, kwargs)}
    for name, warmup, kwargs in CASES
]
for kwargs, metrics in PLATEAUS:
    values, evaluations = plateau(kwargs, metrics)
    cases.append(
        {
            "type": "reduce_lr_on_plateau",
            "warmupSteps": 0,
            "kwargs": kwargs,
            "evaluations": evaluations,
            "rates": values,
        }
    )
stored = {"learningRate": PEAK, "totalSteps": TOTAL, "cases": cases}
Path(__file__).with_name("schedules.json").write_text(json.dumps(stored) + "\n")
