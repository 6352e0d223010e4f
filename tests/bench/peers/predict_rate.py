"""The peer of bench:predict: labels of many lines with transformers. Each line of standard input is a command; the answer
holds the milliseconds from lines in memory to labels in memory.

usage: predict_rate.py MODEL_FOLDER LINES_JSONL THREADS

THREADS is 0 for torch's own count; torch.compile keeps the one that it meets first.

{"kind": "pipeline", "batch": B, "lines": N}: the text-classification pipeline.
{"kind": "sorted", "batch": B, "lines": N}: lines tokenised at once, sorted by length, cut into batches, torch.compile.
"""

import json
import sys
import time

import torch
import transformers
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

transformers.logging.set_verbosity_error()


def main():
    folder, file = sys.argv[1:3]
    own_threads = torch.get_num_threads()
    torch.set_num_threads(int(sys.argv[3]) or own_threads)
    with open(file, encoding="utf-8") as stream:
        lines = [json.loads(line)["text"] for line in stream]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    compiled = torch.compile(model, dynamic=True)
    names = model.config.id2label

    def with_pipeline(texts, batch):
        return [answer["label"] for answer in classify(texts, batch_size=batch, truncation=True)]

    @torch.inference_mode()
    def with_sorting(texts, batch):
        encoded = tokenizer(texts, truncation=True)["input_ids"]
        order = sorted(range(len(texts)), key=lambda index: len(encoded[index]))
        labels = [""] * len(texts)
        for first in range(0, len(order), batch):
            rows = order[first : first + batch]
            longest = len(encoded[rows[-1]])
            ids = torch.zeros((len(rows), longest), dtype=torch.long)
            mask = torch.zeros_like(ids)
            for place, row in enumerate(rows):
                ids[place, : len(encoded[row])] = torch.tensor(encoded[row])
                mask[place, : len(encoded[row])] = 1
            logits = compiled(input_ids=ids, attention_mask=mask).logits
            for row, label in zip(rows, logits.argmax(-1).tolist()):
                labels[row] = names[label]
        return labels

    ways = {"pipeline": with_pipeline, "sorted": with_sorting}
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    print(json.dumps({**versions, "threads": own_threads}), flush=True)
    for text in sys.stdin:
        command = json.loads(text)
        texts = lines[: command["lines"]]
        start = time.perf_counter()
        labels = ways[command["kind"]](texts, command["batch"])
        ms = (time.perf_counter() - start) * 1000
        print(json.dumps({"ms": ms, "labels": labels}), flush=True)


if __name__ == "__main__":
    main()
