/**
 * Goal: the article's run, `coordinator deploy/jobs/mrpc.yaml`, from the hub to a model. Method: a hub of our own serves a
 * tiny BERT under its real name, with the tensor names of bert-base-uncased's file, and MRPC-like Parquet as GLUE has it;
 * a second start needs the hub no more. Beside the file, a flag and a variable have their say.
 */
import assert from "node:assert/strict";
import { mkdtemp, mkdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { parquetWriteBuffer } from "hyparquet-writer";
import { cacheFolder } from "../../foundation/cache/cache-folder.ts";
import { readJobFile } from "../../foundation/job/job-file.ts";
import { readSafetensors, writeSafetensors } from "../../foundation/model-files/safetensors.ts";
import { ensureNativeParts } from "../../foundation/native/native-parts.ts";
import { repositoryFromFolder, startHubServer, type HubServer } from "../support/hub-server.ts";
import { runIn, type Said } from "../support/one-shot.ts";
import { writeTinyBert } from "../support/tiny-bert.ts";

const job = fileURLToPath(new URL("../../deploy/jobs/mrpc.yaml", import.meta.url));
const silent = { begin: () => ({ advance: () => {}, end: () => {} }) };

const card = `---
configs:
- config_name: mrpc
  data_files:
  - {split: train, path: mrpc/train-*}
  - {split: validation, path: mrpc/validation-*}
  - {split: test, path: mrpc/test-*}
---
`;
const pairs = [
  [
    "He said the foodservice pie business doesn 't fit .",
    "The foodservice pie business doesn 't fit .",
  ],
  ["Shares of Genentech rose 2.2 % to $ 58.", "Shares of Xoma fell 1.4 percent ."],
  ["A tropical storm rapidly developed on Monday .", "A storm rapidly formed in the Gulf Monday ."],
  ["“ I 'm never going to forget this day , ” he said .", "“ I 'll never forget , ” she said ."],
];

/** Rows as GLUE's Parquet has them: sentences, a class by number, an index. */
function glueFile(count: number): Buffer {
  const rows = Array.from({ length: count }, (_, index) => pairs[index % pairs.length] ?? []);
  const label = { names: ["not_equivalent", "equivalent"], _type: "ClassLabel" };
  return Buffer.from(
    parquetWriteBuffer({
      columnData: [
        { name: "sentence1", data: rows.map(([first = ""]) => first), type: "STRING" },
        { name: "sentence2", data: rows.map(([, second = ""]) => second), type: "STRING" },
        { name: "label", data: rows.map((_, index) => BigInt((index + 1) % 2)), type: "INT64" },
        { name: "idx", data: rows.map((_, index) => index), type: "INT32" },
      ],
      kvMetadata: [
        { key: "huggingface", value: JSON.stringify({ info: { features: { label } } }) },
      ],
    }),
  );
}

/** A tiny BERT with the names of old files: gamma and beta, the heads of pre-training, no classifier. */
async function writeOldBert(folder: string): Promise<void> {
  await writeTinyBert(folder, { architectures: ["BertForMaskedLM"], max_position_embeddings: 128 });
  const file = join(folder, "model.safetensors");
  const tensors = [...(await readSafetensors(file)).values()]
    .filter(({ name }) => !name.startsWith("classifier."))
    .map((tensor) => ({
      ...tensor,
      name: tensor.name
        .replace(/LayerNorm\.weight$/, "LayerNorm.gamma")
        .replace(/LayerNorm\.bias$/, "LayerNorm.beta"),
    }));
  const head = (name: string, ...shape: number[]) => ({
    name: `cls.${name}`,
    shape,
    values: new Float32Array(shape.reduce((product, size) => product * size, 1)),
  });
  await rm(file);
  await writeSafetensors(file, [
    ...tensors,
    head("predictions.bias", 77),
    head("predictions.transform.LayerNorm.gamma", 8),
    head("predictions.transform.dense.weight", 8, 8),
    head("seq_relationship.weight", 2, 8),
  ]);
}

describe("the article's job", () => {
  let folder = "";
  let hub: HubServer;

  before(async () => {
    const { signal } = new AbortController();
    await ensureNativeParts({ env: process.env, device: "cpu", progress: silent, signal });
    folder = await mkdtemp(join(tmpdir(), "mrpc-"));
    await mkdir(join(folder, "cache"));
    for (const part of ["tensorflow", "binding", "nats-server"]) {
      await symlink(join(cacheFolder(process.env), part), join(folder, "cache", part));
    }
    await writeOldBert(join(folder, "bert"));
    hub = await startHubServer({
      repositories: new Map([
        ["models/google-bert/bert-base-uncased", await repositoryFromFolder(join(folder, "bert"))],
        [
          "datasets/nyu-mll/glue",
          {
            files: new Map([
              ["README.md", Buffer.from(card)],
              ["mrpc/train-00000-of-00001.parquet", glueFile(22)],
              ["mrpc/validation-00000-of-00001.parquet", glueFile(9)],
              ["mrpc/test-00000-of-00001.parquet", glueFile(5)],
            ]),
          },
        ],
      ]),
      moved: new Map([["models/bert-base-uncased", "models/google-bert/bert-base-uncased"]]),
    });
  });
  after(async () => {
    await hub.close();
    await rm(folder, { recursive: true, force: true });
  });

  function start(endpoint: string, ...args: string[]): Promise<Said> {
    const env = {
      ...process.env,
      RINGMASTER_CACHE: join(folder, "cache"),
      HF_ENDPOINT: endpoint,
      RINGMASTER_WEIGHT_DECAY: "0.02",
      RINGMASTER_LEARNING_RATE: "0.3",
    };
    return runIn(folder, [job, "--learning-rate", "1e-3", ...args], { env });
  }

  it("trains from the hub's files to a model with the data's class names", async () => {
    const args = ["--max-steps", "3", "--workers", "2", "--output-dir", "out"];
    const { code, stdout, stderr } = await start(hub.url, ...args);
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, /global batch 8 = 4 microbatches of 2 on 2 workers/);
    assert.match(stdout, /22 to train on, 9 to evaluate/);
    assert.match(stdout, /2 labels: "not_equivalent", "equivalent"/);
    assert.match(stdout, /classifier\.weight/, "the new head is reported");
    assert.match(stdout, /cls/, "the unused heads are reported");
    assert.match(stdout, /validation after step 3 \(epoch 1\.00\): .*accuracy/);
    assert.ok(hub.requests.some(({ path }) => path.includes("/datasets/nyu-mll/glue/")));
    const config: unknown = JSON.parse(await readFile(join(folder, "out/config.json"), "utf8"));
    assert.deepEqual(Reflect.get(Object(config), "id2label"), {
      0: "not_equivalent",
      1: "equivalent",
    });
    const tensors = await readSafetensors(join(folder, "out/model.safetensors"));
    assert.ok(tensors.has("bert.embeddings.LayerNorm.weight"));
    const written = readJobFile(await readFile(join(folder, "out/job.yaml"), "utf8"), "job.yaml");
    const values = new Map(written.map(({ name, raw }) => [name, raw]));
    assert.equal(Number(values.get("learning-rate")), 1e-3, "a flag over variable and file");
    assert.equal(Number(values.get("weight-decay")), 0.02, "a variable over the file");
    assert.equal(Number(values.get("train-batch-size")), 8, "the file over the default of 32");
    assert.equal(Number(values.get("logging-steps")), 10, "the default");
  });

  it("finds everything in the cache when the hub is away", async () => {
    const { code, stdout, stderr } = await start("http://127.0.0.1:9", "--dry-run");
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, /22 to train on, 9 to evaluate/);
  });
});
