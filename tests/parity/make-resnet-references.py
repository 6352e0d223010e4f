"""Makes resnet-references.json: what PyTorch computes for ResNet-18 on four images of 16 x 16.

    python3 -m venv venv && venv/bin/pip install -r tests/parity/requirements.txt
    venv/bin/python tests/parity/make-resnet-references.py

Weights and images are made by both sides, filters as [height, width, in, out] (see fixed_values). PyTorch computes in
float64, so that a difference is ours alone. A ReLU whose input is nearly zero may go either way in float32: one in a
million changes gradients by a thousandth, PyTorch's own too. So images are searched for whose ReLUs' inputs all keep away
from zero. Each tensor is stored as norm and signed sums (fixed_values.project).
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from cifar_resnet import CifarResnet
from fixed_values import fixed_weights, project
from torch.nn.functional import cross_entropy

ROWS, SIZE, LABELS, PROJECTIONS = 4, 16, 10, 8
SEEDS = range(10_000, 10_060)


def rounded(values):
    """Nine significant digits: more than float32 holds."""
    return [float(f"{value:.9g}") for value in values]


def fill(model):
    """Weights by place; deviations after He et al. 2015 keep the signal through the layers."""
    state = model.state_dict()
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    for place, name in enumerate(names):
        tensor = state[name]
        if tensor.dim() == 4:
            outputs, inputs, height, width = tensor.shape
            deviation = math.sqrt(2 / (height * width * inputs)) / 1.2
            values = fixed_weights(tensor.numel(), 500 + place, deviation).reshape(height, width, inputs, outputs)
            values = values.transpose(3, 2, 0, 1)
        else:
            values = fixed_weights(tensor.numel(), 500 + place, 0.1).reshape(tensor.shape)
            if tensor.dim() == 1 and name.endswith(("weight", "running_var")):
                values = values + np.float32(1)
        tensor.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def projected(tensor):
    array = tensor.detach().numpy()
    if array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
    return rounded(project(array, PROJECTIONS))


def images_of(seed):
    values = fixed_weights(ROWS * SIZE * SIZE * 3, seed, 0.9).reshape(ROWS, SIZE, SIZE, 3)
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2))).double()


def safest_seed(model):
    """The seed whose least input of a ReLU, in deviations of its layer, is largest; and that distance."""
    margins = []

    def look(_, inputs):
        margins.append((inputs[0].abs().min() / inputs[0].std()).item())

    hooks = [m.register_forward_pre_hook(look) for m in model.modules() if isinstance(m, torch.nn.ReLU)]
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    best = (0.0, 0)
    with torch.no_grad():
        for seed in SEEDS:
            margins.clear()
            model(images_of(seed))
            best = max(best, (min(margins), seed))
    for hook in hooks:
        hook.remove()
    model.load_state_dict(kept, strict=False)
    return best


def main():
    model = CifarResnet(labels=LABELS).double()
    fill(model)
    margin, seed = safest_seed(model)
    x = images_of(seed)
    labels = [row * 7 % LABELS for row in range(ROWS)]
    model.eval()
    logits = model(x)
    model.train()
    loss = cross_entropy(model(x), torch.tensor(labels))
    loss.backward()
    references = {
        "torch": torch.__version__.split("+")[0],
        "rows": ROWS,
        "image_size": SIZE,
        "image_seed": seed,
        "margin": margin,
        "labels": labels,
        "logits": rounded(logits.flatten().tolist()),
        "loss": loss.item(),
        "gradients": {name: projected(p.grad) for name, p in model.named_parameters()},
        "buffers": {name: projected(b) for name, b in model.named_buffers() if b.dim() == 1},
    }
    text = json.dumps(references, separators=(",", ":"))
    (Path(__file__).parent / "resnet-references.json").write_text(text.replace('],"', '],\n"') + "\n")


if __name__ == "__main__":
    main()
