/** Programs recorded in a process of their own: the same bytes as recorded here, errors as they were, and nothing left behind. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { bertFamily } from "../../../foundation/families/bert.ts";
import { BadInput } from "../../../foundation/bad-input.ts";
import { TfjsEngine } from "../../../worker/engine/tfjs-engine.ts";
import { createModel } from "../../../worker/model/families.ts";
import type { PrepareOptions } from "../../../worker/engine/engine.ts";
import { recordApart } from "../../../worker/engine/record-process.ts";
import { bindingUnderTest, jobOf } from "../../support/engine-under-test.ts";
import { tinyConfig } from "../../support/tiny-bert.ts";

const script = fileURLToPath(new URL("../../../worker/engine/record-process.mjs", import.meta.url));

function hashOf(file: string): string {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}

/** Processes whose command line names the recording script, by id. */
function recording(): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/u.test(name))
    .filter((id) => {
      try {
        return readFileSync(join("/proc", id, "cmdline"), "utf8").includes(script);
      } catch {
        return false;
      }
    })
    .map(Number);
}

describe("recordApart", () => {
  const folder = mkdtempSync(join(tmpdir(), "record-"));
  let bindingFile = "";
  let options: PrepareOptions;
  before(async () => {
    bindingFile = await bindingUnderTest();
    const config = JSON.parse(tinyConfig({ num_labels: 2 })) as Record<string, unknown>;
    const specs = bertFamily.tensors(config);
    options = jobOf({ family: "bert", config, specs, bucketLengths: [16], maxLength: 16 });
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it("writes what recording in this process writes", async () => {
    const apart = join(folder, "apart");
    await recordApart({ bindingFile, options, folder: apart });
    const cacheFolder = join(folder, "cache");
    const engine = new TfjsEngine(
      bindingFile,
      (job) => createModel(job.family, job),
      () => performance.now(),
    );
    await engine.prepare({ ...options, cacheFolder });
    await engine.close();
    const [key = ""] = readdirSync(join(cacheFolder, "programs"));
    const here = join(cacheFolder, "programs", key);
    for (const file of ["saved_model.pb", "index.json"]) {
      assert.equal(hashOf(join(apart, file)), hashOf(join(here, file)), file);
    }
    assert.deepEqual(recording(), []);
  });

  it("hands back what went wrong there, and leaves no folder", async () => {
    const wrong = join(folder, "wrong");
    const place = { bindingFile, folder: wrong };
    await assert.rejects(
      recordApart({ ...place, options: { ...options, family: "unheard-of" } }),
      /unheard-of/u,
    );
    await assert.rejects(
      recordApart({ ...place, options: { ...options, configJson: '{"model_type":"bert"}' } }),
      (error) => error instanceof BadInput || error instanceof Error,
    );
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith("wrong")),
      [],
    );
  });

  it("is gone when the process that asked for it is killed", async () => {
    const asking = join(folder, "ask.mts");
    const request = { bindingFile, folder: join(folder, "never"), options };
    const text = JSON.stringify(request, (_, value: unknown) =>
      typeof value === "bigint" ? value.toString() : value,
    );
    const module = new URL("../../../worker/engine/record-process.ts", import.meta.url).href;
    writeFileSync(
      asking,
      `const { recordApart } = await import(${JSON.stringify(module)});
       const request = ${text};
       await recordApart({ ...request, options: { ...request.options, seed: 7n } });`,
    );
    const parent = spawn(process.execPath, ["--import", "tsx", asking], {
      cwd: fileURLToPath(new URL("../../../", import.meta.url)),
      stdio: "ignore",
    });
    while (recording().length === 0) {
      assert.equal(parent.exitCode, null, "the parent has ended by itself");
      await sleep(20);
    }
    const [child = 0] = recording();
    parent.kill("SIGKILL");
    while (recording().includes(child)) await sleep(50);
  });
});
