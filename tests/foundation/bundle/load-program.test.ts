/** Programs from a bundle: made at the first start, made again when a source changes, done without where it cannot be kept. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const repository = fileURLToPath(new URL("../../../", import.meta.url));

describe("a program's bundle", () => {
  let clone = "";

  beforeEach(async () => {
    clone = await mkdtemp(join(tmpdir(), "ringmaster-bundle-"));
    for (const part of ["coordinator", "foundation", "proto", "worker", "package.json"]) {
      cpSync(join(repository, part), join(clone, part), { recursive: true });
    }
    // Packages by links, so that what is kept beside them is this clone's own.
    const packages = join(clone, "node_modules");
    mkdirSync(packages);
    for (const name of readdirSync(join(repository, "node_modules"))) {
      if (name === ".cache") continue;
      symlinkSync(join(repository, "node_modules", name), join(packages, name));
    }
  });

  afterEach(() => rm(clone, { recursive: true, force: true }));

  const run = (...args: string[]): string =>
    execFileSync(process.execPath, [join(clone, "coordinator/bin.mjs"), ...args], {
      encoding: "utf8",
    });
  const bundles = (): string[] => {
    const folder = join(clone, "node_modules/.cache/ringmaster");
    return existsSync(folder) ? readdirSync(folder).filter((name) => name !== "compiled") : [];
  };

  it("is made once, and made again when a source has changed", async () => {
    const version = /"version": "([^"]+)"/.exec(
      await readFile(join(clone, "package.json"), "utf8"),
    )?.[1];
    assert.equal(run("--version").trim(), version);
    const first = bundles();
    assert.equal(first.length, 1);
    run("--version");
    assert.deepEqual(bundles(), first);

    const main = join(clone, "coordinator/main.ts");
    const changed = (await readFile(main, "utf8")).replace('?? "unknown"', '+ "-changed"');
    await writeFile(main, changed);
    assert.equal(run("--version").trim(), `${version}-changed`);
    assert.equal(bundles().length, 2);
  });

  it("is done without where nothing can be kept beside the packages", () => {
    writeFileSync(join(clone, "node_modules/.cache"), "a file where the folder would be");
    assert.match(run("--version"), /^\d+\.\d+\.\d+/);
  });

  it("tells places of errors in the sources", async () => {
    const main = join(clone, "coordinator/main.ts");
    const text = await readFile(main, "utf8");
    await writeFile(
      main,
      text.replace("function version(): string {", '$& throw new Error("here");'),
    );
    assert.throws(() => run("--version"), /coordinator\/main\.ts:\d+/);
  });
});
