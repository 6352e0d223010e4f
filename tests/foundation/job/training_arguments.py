"""Writes training-arguments.json beside this file: the fields of transformers' TrainingArguments by version.

Needs no installation: `python training_arguments.py FOLDER`, where FOLDER holds the wheels, made by
`pip download --no-deps -d FOLDER transformers==4.57.6` and the same for 5.0.0 and 5.23.0.
"""

import ast
import json
import sys
import zipfile
from pathlib import Path

VERSIONS = ["4.57.6", "5.0.0", "5.23.0"]


def fields(wheel):
    with zipfile.ZipFile(wheel) as archive:
        tree = ast.parse(archive.read("transformers/training_args.py"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "TrainingArguments":
            return [each.target.id for each in node.body if isinstance(each, ast.AnnAssign)]
    raise SystemExit(f"{wheel} holds no TrainingArguments")


folder = Path(sys.argv[1])
stored = {version: fields(folder / f"transformers-{version}-py3-none-any.whl") for version in VERSIONS}
Path(__file__).with_name("training-arguments.json").write_text(json.dumps(stored, indent=1) + "\n")
