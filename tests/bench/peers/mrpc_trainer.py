"""The peer of bench:mrpc: fine-tunes a BERT on MRPC with transformers' Trainer, and prints one JSON line.

usage: mrpc_trainer.py MODEL_FOLDER TRAIN_TSV TEST_TSV SEED [EPOCHS MAX_LENGTH]

Settings are those of our run: global batch 32, lr 5e-5, linear schedule, decay 0.01, clipping at 1, dynamic padding,
at most 128 tokens unless another length is given, evaluation after each epoch.
"""

import json
import sys
import tempfile

import torch
import transformers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)


def read_pairs(path):
    rows = []
    with open(path, encoding="utf-8-sig", newline="\n") as file:
        next(file)
        for line in file:
            quality, _, _, first, second = line.rstrip("\r\n").split("\t")
            rows.append((int(quality), first, second))
    return rows


class Pairs(torch.utils.data.Dataset):
    def __init__(self, rows, tokenizer, max_length):
        self.items = [
            {**tokenizer(first, second, truncation=True, max_length=max_length), "label": quality}
            for quality, first, second in rows
        ]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def metrics(prediction):
    guess = prediction.predictions.argmax(-1)
    truth = prediction.label_ids
    hit = int(((guess == 1) & (truth == 1)).sum())
    guessed, true = int((guess == 1).sum()), int((truth == 1).sum())
    f1 = 2 * hit / (guessed + true) if guessed + true else 0.0
    return {"accuracy": float((guess == truth).mean()), "f1": f1}


def main():
    folder, train_file, test_file, seed = sys.argv[1:5]
    epochs = int(sys.argv[5]) if len(sys.argv) > 5 else 3
    max_length = int(sys.argv[6]) if len(sys.argv) > 6 else 128
    transformers.set_seed(int(seed))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output_dir=output,
            per_device_train_batch_size=32,
            per_device_eval_batch_size=32,
            learning_rate=5e-5,
            weight_decay=0.01,
            num_train_epochs=epochs,
            eval_strategy="epoch",
            save_strategy="no",
            logging_steps=50,
            report_to="none",
            seed=int(seed),
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=Pairs(read_pairs(train_file), tokenizer, max_length),
            eval_dataset=Pairs(read_pairs(test_file), tokenizer, max_length),
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=metrics,
        )
        trainer.train()
        history = [
            {"epoch": entry["epoch"], "accuracy": entry["eval_accuracy"], "f1": entry["eval_f1"], "loss": entry["eval_loss"]}
            for entry in trainer.state.log_history
            if "eval_accuracy" in entry
        ]
    print(json.dumps({
        "seed": int(seed),
        "evaluations": history,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }))


if __name__ == "__main__":
    main()
