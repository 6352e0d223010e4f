/** The native parts as a whole: found in the cache, refused early where a tool is missing, keyed by what decides them. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { BadInput } from "../../../foundation/bad-input.ts";
import {
  bindingFile,
  checkBindingLoads,
  readBindingInput,
} from "../../../foundation/native/binding.ts";
import { ensureNativeParts, type NativePart } from "../../../foundation/native/native-parts.ts";
import { checkFreeSpace } from "../../../foundation/native/only-setup.ts";
import { natsServerVersion, tensorflowWheels } from "../../../foundation/native/pins.ts";
import { SetupProblem } from "../../../foundation/native/setup-problem.ts";
import { keptOfTensorflow, tensorflowFolder } from "../../../foundation/native/tensorflow.ts";
import { currentPlatform } from "../../../foundation/native/platform.ts";

const signal = new AbortController().signal;
const labels: string[] = [];
const progress = {
  begin: ({ label }: { label: string }) => {
    labels.push(label);
    return { advance: () => undefined, end: () => undefined };
  },
};
let folder = "";

function ensureWith(env: NodeJS.ProcessEnv, parts?: readonly NativePart[]): Promise<unknown> {
  const some = parts === undefined ? {} : { parts };
  return ensureNativeParts({ env, device: "cpu", progress, signal, ...some });
}

function problem(kind: string, ...words: RegExp[]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof SetupProblem, String(error));
    assert.equal(error.kind, kind, error.message);
    assert.equal(error.message.includes("\n"), false, "one line");
    for (const word of words) assert.match(error.message, word);
    return true;
  };
}

describe("ensureNativeParts()", () => {
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "ringmaster-native-"));
  });
  after(() => rm(folder, { recursive: true }));

  it("gives parts that work, and finds them again without doing anything", async () => {
    const parts = await ensureNativeParts({ env: process.env, device: "cpu", progress, signal });
    await checkBindingLoads(parts.bindingFile, { env: process.env, signal });
    const version = execFileSync(parts.natsServerFile, ["--version"], { encoding: "utf8" });
    assert.ok(version.includes(natsServerVersion), version);
    labels.length = 0;
    const changedAt = (await stat(parts.bindingFile)).mtimeMs;
    const again = await ensureNativeParts({ env: process.env, device: "cpu", progress, signal });
    assert.deepEqual(again, parts);
    assert.equal((await stat(parts.bindingFile)).mtimeMs, changedAt);
    assert.deepEqual(labels, []);
  });

  it("asks for a compiler before it fetches anything", async () => {
    const cache = join(folder, "no-compiler");
    const env = { PATH: join(folder, "empty"), RINGMASTER_CACHE: cache };
    await assert.rejects(
      ensureWith(env),
      problem(
        "compiler",
        /Debian.*apt-get install g\+\+/,
        /Fedora.*gcc-c\+\+/,
        /macOS.*xcode-select/,
      ),
    );
    assert.deepEqual(await readdir(cache), ["locks"]);
  });

  it("asks for Python before it fetches anything", async () => {
    const tools = join(folder, "tools");
    execFileSync("mkdir", ["-p", tools]);
    const compiler = execFileSync("sh", ["-c", "command -v c++"], { encoding: "utf8" }).trim();
    await symlink(compiler, join(tools, "c++"));
    const env = { PATH: tools, RINGMASTER_CACHE: join(folder, "no-python") };
    await assert.rejects(ensureWith(env), problem("python", /apt-get install python3-pip/));
  });

  it("says that CXX names no compiler", async () => {
    const env = { ...process.env, CXX: "no-such-compiler", RINGMASTER_CACHE: join(folder, "cxx") };
    await assert.rejects(ensureWith(env, ["binding"]), problem("compiler", /no-such-compiler/));
  });

  it("says that the cache folder cannot be made", async () => {
    const file = join(folder, "a-file");
    await writeFile(file, "");
    const env = { ...process.env, RINGMASTER_CACHE: join(file, "cache") };
    await assert.rejects(ensureWith(env), problem("disk", /a-file/, /RINGMASTER_CACHE/));
  });

  it("says how much space is missing", async () => {
    await assert.rejects(
      checkFreeSpace(folder, 1e18),
      problem("disk", /needs 1000000000 GB, its disk has .* free/, /RINGMASTER_CACHE/),
    );
  });
});

describe("bindingFile()", () => {
  it("is another one as soon as anything that decides the build is another", async () => {
    const platform = currentPlatform();
    const input = await readBindingInput(platform, tensorflowFolder("/c", platform, "cpu"));
    const [first, ...rest] = input.sources;
    assert.ok(first !== undefined && input.sources.length > 5);
    const changed = { name: first.name, content: Buffer.concat([first.content, Buffer.from(" ")]) };
    const own = { name: "kernels.cc", content: Buffer.from("") };
    const files = [
      input,
      { ...input, sources: [changed, ...rest] },
      { ...input, sources: [...input.sources, own] },
      { ...input, nodeApiVersion: "0.0.1" },
      { ...input, tensorflow: { ...input.tensorflow, name: "2.99.0" } },
      { ...input, platform: "darwin-arm64" as const },
    ].map((each) => bindingFile("/c", each));
    assert.equal(new Set(files).size, files.length);
    assert.equal(bindingFile("/c", { ...input }), files[0]);
  });
});

describe("tensorflowWheels()", () => {
  it("has a hash of its own for every file", () => {
    const wheels = [
      ...tensorflowWheels("linux-x64", "cpu"),
      ...tensorflowWheels("linux-arm64", "cpu"),
      ...tensorflowWheels("darwin-arm64", "cpu"),
      ...tensorflowWheels("linux-x64", "gpu"),
    ];
    assert.equal(new Set(wheels.map(({ sha256 }) => sha256)).size, wheels.length);
    for (const { sha256 } of wheels) assert.match(sha256, /^[0-9a-f]{64}$/);
  });

  it("refuses a GPU where there is no wheel with CUDA, as the user's input", () => {
    assert.throws(() => tensorflowWheels("darwin-arm64", "gpu"), BadInput);
  });
});

describe("keptOfTensorflow()", () => {
  const kept = [
    "tensorflow/libtensorflow_cc.so.2",
    "tensorflow/libtensorflow_framework.2.dylib",
    "tensorflow/include/tensorflow/c/c_api.h",
    "nvidia/cublas/lib/libcublas.so.12",
  ];
  const left = [
    "tensorflow/__init__.py",
    "tensorflow/python/_pywrap_tfe.so",
    "tensorflow-2.21.0.dist-info/METADATA",
    "other/tensorflow/libtensorflow_cc.so.2",
  ];
  for (const path of kept) it(`keeps ${path}`, () => assert.equal(keptOfTensorflow(path), path));
  for (const path of left) it(`leaves ${path}`, () => assert.equal(keptOfTensorflow(path), null));
});
