/** Folders come into the cache at once or not at all. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { cacheFolder } from "../../../foundation/cache/cache-folder.ts";
import { installFolder, removeAbandoned } from "../../../foundation/cache/install-folder.ts";

const installer = new URL("../../../foundation/cache/install-folder.ts", import.meta.url).href;
let cache = "";

describe("installFolder()", () => {
  beforeEach(async () => {
    cache = await mkdtemp(join(tmpdir(), "ringmaster-install-"));
  });
  afterEach(() => rm(cache, { recursive: true }));

  it("shows the folder only when it is whole", async () => {
    const target = join(cache, "part");
    await installFolder(target, async (folder) => {
      await writeFile(join(folder, "first"), "1");
      assert.equal((await readdir(cache)).includes("part"), false);
      await writeFile(join(folder, "second"), "2");
    });
    assert.deepEqual(await readdir(cache), ["part"]);
    assert.deepEqual(await readdir(target), ["first", "second"]);
    assert.equal((await stat(target)).mode & 0o777, 0o755, "others may read it");
  });

  it("leaves nothing when it fails", async () => {
    const failure = new Error("disk on fire");
    const failing = installFolder(join(cache, "part"), async (folder) => {
      await writeFile(join(folder, "first"), "1");
      throw failure;
    });
    await assert.rejects(failing, failure);
    assert.deepEqual(await readdir(cache), []);
  });

  it("replaces what stands there", async () => {
    const target = join(cache, "part");
    const filledWith = (text: string) => (folder: string) => writeFile(join(folder, "file"), text);
    await installFolder(target, filledWith("old"));
    await installFolder(target, filledWith("new"));
    assert.equal(await readFile(join(target, "file"), "utf8"), "new");
    assert.deepEqual(await readdir(cache), ["part"]);
  });

  it("leaves no part of a killed process but what the next one removes", async () => {
    const program = `
      import { writeFileSync } from "node:fs";
      import { installFolder } from ${JSON.stringify(installer)};
      await installFolder(${JSON.stringify(join(cache, "part"))}, async (folder) => {
        writeFileSync(folder + "/first", "1");
        process.stdout.write("filling");
        await new Promise((resolve) => setTimeout(resolve, 1e9));
      });`;
    const child = spawn(
      process.execPath,
      ["--import", "tsx", "--input-type=module", "--eval", program],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "exit");
    const left = await readdir(cache);
    assert.equal(left.length, 1);
    assert.match(left[0] ?? "", /^\.incomplete-part-/);
    await removeAbandoned(cache);
    assert.deepEqual(await readdir(cache), []);
  });
});

describe("cacheFolder()", () => {
  it("prefers RINGMASTER_CACHE, then XDG_CACHE_HOME, then the home folder", () => {
    assert.equal(cacheFolder({ RINGMASTER_CACHE: "/c", XDG_CACHE_HOME: "/x", HOME: "/h" }), "/c");
    if (process.platform === "darwin") return;
    assert.equal(cacheFolder({ RINGMASTER_CACHE: "", XDG_CACHE_HOME: "/x" }), "/x/ringmaster");
    assert.equal(cacheFolder({ HOME: "/h" }), "/h/.cache/ringmaster");
  });
});
