"""The other side of round-trip.test.ts. Reads texts from standard input, prints logits as JSON.

    round-trip.py load FOLDER      loads what we wrote
    round-trip.py save FOLDER      makes a model, saves it as transformers does
"""

import json
import sys

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig
from transformers import BertForSequenceClassification, BertTokenizerFast


def load(folder):
    model, info = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    wrong = {name: list(keys) for name, keys in info.items() if keys}
    if wrong:
        sys.exit(f"not loaded as it was written: {wrong}")
    return model


def save(folder):
    torch.manual_seed(1)
    labels = {0: "no", 1: "perhaps", 2: "yes"}
    config = BertConfig(
        vocab_size=77,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.5,
        id2label=labels,
        label2id={label: number for number, label in labels.items()},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizerFast(f"{folder}/vocab.txt").save_pretrained(folder)
    return load(folder)


def main(verb, folder):
    model = {"load": load, "save": save}[verb](folder)
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for text, pair in json.load(sys.stdin):
        coded = tokenizer(text, pair, truncation="longest_first", max_length=16, return_tensors="pt")
        with torch.no_grad():
            rows.append(model(**coded).logits[0].tolist())
    print(json.dumps({"logits": rows, "labels": list(model.config.id2label.values())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
