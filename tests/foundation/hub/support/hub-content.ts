/** What the tests' hub serves. */
import type { HubContent } from "../../../support/hub-server.ts";

export const weights = Buffer.from(
  Array.from({ length: 300_000 }, (_, index) => (index * 7919) % 251),
);
const files = new Map([
  ["config.json", Buffer.from('{"model_type":"bert"}')],
  ["model.safetensors", weights],
  ["tokenizer.json", Buffer.from("{}")],
  ["vocab.txt", Buffer.from("[PAD]\n")],
  ["pytorch_model.bin", Buffer.alloc(20_000)],
  ["onnx/model.onnx", Buffer.alloc(20_000)],
]);
const card = `---
configs:
- config_name: cola
  data_files:
  - {split: train, path: cola/train-*}
- config_name: mrpc
  data_files:
  - split: test
    path: mrpc/test-*
  - split: train
    path: [mrpc/train-*]
  - split: validation
    path: mrpc/validation-*
---
# GLUE
`;
const parquet = (name: string): Buffer => Buffer.from(`parquet ${name}`);
const glue = new Map([
  ["README.md", Buffer.from(card)],
  ...["cola/train-0", "mrpc/train-1", "mrpc/train-0", "mrpc/validation-0", "mrpc/test-0"].map(
    (name) => [`${name}.parquet`, parquet(name)] as const,
  ),
]);

export const hubContent: HubContent = {
  repositories: new Map([
    ["models/owner/tiny", { files }],
    ["models/owner/tiny@v1", { files: new Map([...files, ["vocab.txt", Buffer.from("v1")]]) }],
    ["models/google-bert/bert-base-uncased", { files }],
    ["models/owner/private", { files, token: "hf_secret" }],
    ["models/owner/gated", { files, gated: true }],
    [
      "models/owner/pickled",
      { files: new Map([...files].filter(([path]) => path !== "model.safetensors")) },
    ],
    [
      "models/owner/sharded",
      {
        files: new Map([
          ["config.json", Buffer.from("{}")],
          ["model.safetensors.index.json", Buffer.from("{}")],
          ["model-00001-of-00002.safetensors", Buffer.from("one")],
          ["model-00002-of-00002.safetensors", Buffer.from("two")],
        ]),
      },
    ],
    ["datasets/nyu-mll/glue", { files: glue }],
    ["datasets/owner/scripted", { files: new Map([["scripted.py", Buffer.from("")]]) }],
    [
      "datasets/owner/scripted@refs/convert/parquet",
      {
        files: new Map([["default/train/0000.parquet", parquet("converted")]]),
      },
    ],
    [
      "datasets/owner/plain",
      {
        files: new Map([
          ["data/train.csv", Buffer.from("a")],
          ["data/dev.csv", Buffer.from("b")],
          ["notes.pdf", Buffer.from("c")],
        ]),
      },
    ],
    ["datasets/owner/empty", { files: new Map([["README.md", Buffer.from("# nothing")]]) }],
  ]),
  moved: new Map([["models/bert-base-uncased", "models/google-bert/bert-base-uncased"]]),
};
