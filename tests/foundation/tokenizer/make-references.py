"""Makes references.json: what transformers' fast tokenizer gives for MiniLM's vocabulary.

    python3 -m venv venv && venv/bin/pip install -r tests/parity/requirements.txt
    npx coordinator setup     # fetches MiniLM and the e-mails into the cache
    venv/bin/python tests/foundation/tokenizer/make-references.py MINILM TRAIN.jsonl VALIDATION.jsonl [MRPC]

The texts are not stored, but a hash of every hundred encodings; only the hard cases are stored whole.
"""

import hashlib
import json
import sys
from pathlib import Path

import transformers
from transformers import AutoTokenizer, BertTokenizerFast

HERE = Path(__file__).parent
LINES = 10_000
CHARACTERS = 240
PER_HASH = 100


def mail_lines(files):
    """Pieces of 240 code points of the e-mails, every third of them."""
    pieces = []
    for file in files:
        for row in Path(file).read_text(encoding="utf-8").splitlines():
            text = json.loads(row)["text"]
            pieces += [text[at : at + CHARACTERS] for at in range(0, len(text), CHARACTERS)]
    return pieces[::3][:LINES]


def mrpc_pairs(folder):
    pairs = []
    for part in ("train", "test"):
        text = (Path(folder) / f"msr_paraphrase_{part}.txt").read_text(encoding="utf-8-sig")
        pairs += [line.split("\t")[3:5] for line in text.split("\n")[1:] if line.strip()]
    return pairs


def encode(tokenizer, text, pair, length):
    coded = tokenizer(text, pair, truncation="longest_first", max_length=length)
    return coded["input_ids"], coded["token_type_ids"]


def hashes(tokenizer, rows, length):
    result = []
    for start in range(0, len(rows), PER_HASH):
        digest = hashlib.sha256()
        for text, pair in rows[start : start + PER_HASH]:
            for numbers in encode(tokenizer, text, pair, length):
                digest.update((",".join(map(str, numbers)) + ";").encode())
        result.append(digest.hexdigest()[:12])
    return result


def whole(tokenizer, texts, length):
    """Each text alone, then each with its successor."""
    alone = [encode(tokenizer, text, None, length)[0] for text in texts]
    paired = [encode(tokenizer, a, b, length) for a, b in zip(texts, texts[1:])]
    return {"length": length, "alone": alone, "paired": paired}


def main(model, train, validation, mrpc=None):
    tokenizer = AutoTokenizer.from_pretrained(model)
    vocabulary = str(Path(model) / "vocab.txt")
    lines = mail_lines([train, validation])
    following = lines[1:] + lines[:1]
    alone = [(line, None) for line in lines]
    pairs = list(zip(lines, following))
    result = {
        "transformers": transformers.__version__,
        "lines": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        "mails": {
            "alone": {length: hashes(tokenizer, alone, length) for length in (512,)},
            "paired": {length: hashes(tokenizer, pairs, length) for length in (128, 33)},
        },
    }
    if mrpc is not None:
        result["mrpc"] = {length: hashes(tokenizer, mrpc_pairs(mrpc), length) for length in (128, 40)}
    texts = json.loads((HERE / "hard-texts.json").read_text(encoding="utf-8"))
    variants = {
        "as MiniLM": {},
        "with case": {"do_lower_case": False},
        "with case, without accents": {"do_lower_case": False, "strip_accents": True},
        "without case, with accents": {"strip_accents": False},
        "Chinese not apart": {"tokenize_chinese_chars": False},
        "cut on the left": {"truncation_side": "left"},
    }
    result["hard"] = {
        name: {"settings": settings, **whole(BertTokenizerFast(vocabulary, **settings), texts, 24)}
        for name, settings in variants.items()
    }
    text = json.dumps(result, separators=(",", ":"))
    (HERE / "references.json").write_text(text.replace("},", "},\n") + "\n")


if __name__ == "__main__":
    if not 4 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
