import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { BadInput } from "../../../foundation/bad-input.ts";
import type { HubAccess } from "../../../foundation/hub/hub-access.ts";
import { resolveDataset } from "../../../foundation/hub/hub.ts";
import { startHubServer, type HubServer } from "../../support/hub-server.ts";
import { hubContent } from "./support/hub-content.ts";

describe("data sets of the hub", () => {
  let server: HubServer;
  let cacheFolder: string;
  const access = (): HubAccess => ({
    env: { HF_ENDPOINT: server.url },
    cacheFolder,
    signal: new AbortController().signal,
    progress: { begin: () => ({ advance: () => undefined, end: () => undefined }) },
  });
  before(async () => {
    server = await startHubServer(hubContent);
    cacheFolder = await mkdtemp(join(tmpdir(), "ringmaster-hub-"));
  });
  after(async () => {
    await server.close();
    await rm(cacheFolder, { recursive: true, force: true });
  });

  it("finds a data set's files by its card, old name and config", async () => {
    const { train, validation, test, notes } = await resolveDataset("glue/mrpc", access());
    const read = (paths: readonly string[]) =>
      Promise.all(paths.map((path) => readFile(path, "utf8")));
    assert.deepEqual(await read(train), ["parquet mrpc/train-0", "parquet mrpc/train-1"]);
    assert.deepEqual(await read(validation), ["parquet mrpc/validation-0"]);
    assert.deepEqual(await read(test), ["parquet mrpc/test-0"]);
    assert.deepEqual(notes, []);
    assert.ok(train.every((path) => path.endsWith(".parquet")));
    for (const name of ["nyu-mll/glue:mrpc", "nyu-mll/glue/mrpc", "glue:mrpc"]) {
      assert.deepEqual((await resolveDataset(name, access())).train, train);
    }
  });

  it("finds a data set's files by their names, or in the hub's conversion", async () => {
    const plain = await resolveDataset("owner/plain", access());
    assert.deepEqual([plain.train.length, plain.validation.length, plain.test.length], [1, 1, 0]);
    const converted = await resolveDataset("owner/scripted", access());
    assert.equal(await readFile(converted.train[0] ?? "", "utf8"), "parquet converted");
  });

  it("refuses data sets that are unknown, unclear or empty", async () => {
    const cases = [
      ["glue", /expected nyu-mll\/glue:CONFIG with one of cola, mrpc, found no config/],
      ["glue/sst3", /one of cola, mrpc, found sst3/],
      ["nothing", /expected owner\/name or owner\/name:config/],
      ["owner/none", /as the hub lets you read it/],
      ["owner/empty", /expected files of training data/],
    ] as const;
    for (const [name, message] of cases) {
      await assert.rejects(resolveDataset(name, access()), (error) => {
        assert.ok(error instanceof BadInput, String(error));
        assert.match(error.message, message);
        return true;
      });
    }
  });
});
