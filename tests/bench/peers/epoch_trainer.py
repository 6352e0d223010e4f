"""The peer of bench:epoch: one epoch on MRPC with transformers' Trainer, evaluation included. Prints one JSON line.

usage: epoch_trainer.py MODEL_FOLDER TRAIN_TSV TEST_TSV VARIANT BATCH EVAL_BATCH MAX_LENGTH THREADS eager|compile

VARIANT is max_length (every pair padded to MAX_LENGTH; 512 is what the article's code does), dynamic (padded to the
batch's longest), or grouped (dynamic, and batches of like length). THREADS is 0 for torch's own count. With compile the model
goes through torch.compile, for lengths that vary with dynamic shapes; a Trainer of a few rows compiles it before the clock starts.
"""

import copy
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


def make_trainer(model, tokenizer, variant, data, batches, output):
    arguments = TrainingArguments(
        output_dir=output,
        per_device_train_batch_size=batches[0],
        per_device_eval_batch_size=batches[1],
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
    return Trainer(
        model=model,
        args=arguments,
        train_dataset=data[0],
        eval_dataset=data[1],
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=metrics,
    )


def few(rows, batch):
    """A whole batch and the last one's rows: every count of rows that comes up."""
    return rows[: batch + len(rows) % batch]


def main():
    folder, train_file, test_file, variant = sys.argv[1:5]
    batch, eval_batch, max_length, threads = (int(text) for text in sys.argv[5:9])
    own_threads = torch.get_num_threads()
    torch.set_num_threads(threads or own_threads)
    transformers.set_seed(42)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    padding = "max_length" if variant == "max_length" else False
    start = time.perf_counter()
    train = tokenised(read_pairs(train_file), tokenizer, padding, max_length)
    test = tokenised(read_pairs(test_file), tokenizer, padding, max_length)
    tokenise_ms = (time.perf_counter() - start) * 1000
    with tempfile.TemporaryDirectory() as output:
        data, batches = (train, test), (batch, eval_batch)
        start = time.perf_counter()
        if sys.argv[9] == "compile":
            weights = copy.deepcopy(model.state_dict())
            # The model itself sets this at its first batch, and would be compiled again at its second.
            model.config.problem_type = "single_label_classification"
            model.compile(dynamic=variant != "max_length")
            small = tuple(few(rows, count) for rows, count in zip(data, batches))
            trainer = make_trainer(model, tokenizer, variant, small, batches, output)
            trainer.train()
            trainer.evaluate()
            model.load_state_dict(weights)
        compile_ms = (time.perf_counter() - start) * 1000
        trainer = make_trainer(model, tokenizer, variant, data, batches, output)
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
        "compileMs": compile_ms,
        "ownThreads": own_threads,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }))


if __name__ == "__main__":
    main()
