/** Ctrl-C while native parts are made: at once, with everything that was started, and the cache as if nothing had been. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, it } from "node:test";
import { cacheFolder } from "../../foundation/cache/cache-folder.ts";
import { processesNaming, startRun } from "../support/story-run.ts";
import { bindingUnderTest } from "../support/engine-under-test.ts";
import { pipEnvironment } from "../foundation/native/wheel-index.ts";

const looksMax = 300;

/** All files below a folder but locks, which say whose turn it is and no more. */
async function filesOf(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  return names
    .filter((entry) => entry.isFile() && !entry.parentPath.includes("locks"))
    .map((entry) => join(entry.parentPath, entry.name));
}

async function untilGone(text: string): Promise<void> {
  let left = await processesNaming(text);
  for (let looks = 0; left.length > 0 && looks < looksMax; looks++) {
    await sleep(100);
    left = await processesNaming(text);
  }
  assert.deepEqual(left, [], "processes are left");
}

describe("Ctrl-C while native parts are made", () => {
  let folder: string;
  before(async () => {
    await bindingUnderTest();
    folder = await mkdtemp(join(tmpdir(), "setup-interrupt-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("while a part is fetched: pip ends too, and nothing is kept", async () => {
    // An index that never answers.
    const index = createServer();
    index.listen(0, "127.0.0.1");
    await once(index, "listening");
    const address = index.address();
    assert.ok(address !== null && typeof address === "object");
    const cache = join(folder, "fetching");
    const pip = pipEnvironment(`http://127.0.0.1:${address.port}/simple`);
    const run = startRun(["setup"], { ...pip, RINGMASTER_CACHE: cache });
    await once(index, "request");
    run.interrupt();
    assert.equal(await run.ended, 130, run.text());
    assert.doesNotMatch(run.text(), /\n\s+at /u);
    await untilGone(cache);
    assert.deepEqual(await filesOf(cache), []);
    index.closeAllConnections();
    index.close();
  });

  it("while the binding is compiled: the compiler ends too, and nothing is kept", async () => {
    const cache = join(folder, "compiling");
    await mkdir(cache);
    await symlink(join(cacheFolder(process.env), "tensorflow"), join(cache, "tensorflow"));
    const started = join(folder, "started");
    const compiler = join(folder, "slow-compiler");
    const lines = ["#!/bin/sh", '[ "$1" = --version ] && exec c++ --version', `: > ${started}`];
    await writeFile(compiler, [...lines, "exec sleep 1000"].join("\n"), { mode: 0o755 });
    const run = startRun(["setup"], { RINGMASTER_CACHE: cache, CXX: compiler });
    await run.until("compile the TensorFlow binding");
    while ((await stat(started).catch(() => null)) === null) await sleep(20);
    run.interrupt();
    assert.equal(await run.ended, 130, run.text());
    assert.doesNotMatch(run.text(), /\n\s+at /u);
    await untilGone(cache);
    assert.deepEqual(await filesOf(join(cache, "binding")), []);
  });
});
