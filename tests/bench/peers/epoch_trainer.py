"""The peer of bench:epoch: one epoch on MRPC with transformers' Trainer, evaluation included. Prints one JSON line.

usage: epoch_trainer.py MODEL_FOLDER TRAIN_TSV TEST_TSV VARIANT BATCH EVAL_BATCH MAX_LENGTH

VARIANT is max_length (every pair padded to MAX_LENGTH; 512 is what the article's code does), dynamic (padded to the
batch's longest), or grouped (dynamic, and batches of like length).
"""

import json
import sys
import tempfile
import time

import torch
import transformers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from mrpc_trainer import metrics, read_pairs

transformers.logging.set_verbosity_error()


def tokenised(rows, tokenizer, padding, max_length):
    first = [row[1] for row in rows]
    second = [row[2] for row in rows]
    encoded = tokenizer(first, second, truncation=True, max_length=max_length, padding=padding)
    return [
        {**{name: values[index] for name, values in encoded.items()}, "label": row[0]}
        for index, row in enumerate(rows)
    ]


def main():
    folder, train_file, test_file, variant = sys.argv[1:5]
    batch, eval_batch, max_length = (int(text) for text in sys.argv[5:8])
    transformers.set_seed(42)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    padding = "max_length" if variant == "max_length" else False
    start = time.perf_counter()
    train = tokenised(read_pairs(train_file), tokenizer, padding, max_length)
    test = tokenised(read_pairs(test_file), tokenizer, padding, max_length)
    tokenise_ms = (time.perf_counter() - start) * 1000
    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output_dir=output,
            per_device_train_batch_size=batch,
            per_device_eval_batch_size=eval_batch,
            learning_rate=5e-5,
            weight_decay=0.01,
            num_train_epochs=1,
            eval_strategy="no",
            save_strategy="no",
            logging_strategy="no",
            optim="adamw_torch_fused",
            group_by_length=variant == "grouped",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=train,
            eval_dataset=test,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=metrics,
        )
        start = time.perf_counter()
        trainer.train()
        train_ms = (time.perf_counter() - start) * 1000
        start = time.perf_counter()
        trainer.evaluate()
        evaluate_ms = (time.perf_counter() - start) * 1000
    print(json.dumps({
        "tokeniseMs": tokenise_ms,
        "trainMs": train_ms,
        "evaluateMs": evaluate_ms,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }))


if __name__ == "__main__":
    main()
