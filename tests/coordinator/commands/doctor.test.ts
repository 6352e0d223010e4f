/** What `coordinator doctor` and `coordinator setup` say and how they exit. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { describeFindings, exitCodeOf, runDoctor } from "../../../coordinator/commands/doctor.ts";
import { runSetup } from "../../../coordinator/commands/setup.ts";
import { cacheFolder } from "../../../foundation/cache/cache-folder.ts";
import { inspectNativeParts } from "../../../foundation/native/native-parts.ts";
import { currentPlatform } from "../../../foundation/native/platform.ts";

const signal = new AbortController().signal;

function recorder(): { output: { write(text: string): void }; text: () => string } {
  let written = "";
  return {
    output: {
      write(text) {
        written += text;
      },
    },
    text: () => written,
  };
}

async function doctor(env: NodeJS.ProcessEnv): Promise<{ code: number; text: string }> {
  const { output, text } = recorder();
  const code = await runDoctor({ env, device: "cpu", nodeVersion: "20.20.2", output, signal });
  return { code, text: text() };
}

describe("runSetup() and runDoctor()", () => {
  it("are content with each other", async () => {
    const { output, text } = recorder();
    const setup = { device: "cpu", quickstart: false, isTerminal: false, now: () => 0 } as const;
    assert.equal(await runSetup({ ...setup, env: process.env, output, signal }), 0);
    assert.match(text(), /^TensorFlow 2\.21\.0 \(cpu\)  \S+tfjs_binding\.node$/m);
    assert.match(text(), /^nats-server  \S+nats-server$/m);
    const report = await doctor(process.env);
    assert.equal(report.code, 0, report.text);
    for (const part of ["TensorFlow", "native binding", "nats-server", "Node.js"]) {
      assert.match(report.text, new RegExp(`^ok +${part} `, "m"));
    }
  });

  it("say what an empty cache lacks and what to do", async () => {
    const cache = await mkdtemp(join(tmpdir(), "ringmaster-doctor-"));
    const { code, text } = await doctor({ ...process.env, RINGMASTER_CACHE: cache });
    assert.equal(code, 1);
    assert.match(
      text,
      /^missing +TensorFlow .*2\.21\.0 for cpu\n.*coordinator setup fetches \d+ MB$/m,
    );
    assert.match(text, /^missing +native binding /m);
    assert.match(text, /^later +quick start's model /m);
    await rm(cache, { recursive: true });
  });

  it("find out that a binding is there but does not load, and say how to make it again", async () => {
    const cache = await mkdtemp(join(tmpdir(), "ringmaster-doctor-"));
    await symlink(join(cacheFolder(process.env), "tensorflow"), join(cache, "tensorflow"));
    const states = await inspectNativeParts(cache, currentPlatform(), "cpu");
    const binding = states.find(({ part }) => part === "binding")?.file ?? "";
    await mkdir(dirname(binding), { recursive: true });
    await writeFile(binding, "not an addon");
    const { code, text } = await doctor({ ...process.env, RINGMASTER_CACHE: cache });
    assert.equal(code, 1);
    assert.match(text, /^ok +TensorFlow /m);
    assert.match(text, /^broken +native binding .*cannot be loaded/m);
    assert.match(text, new RegExp(`rm -r ${dirname(binding)} && coordinator setup`));
    await rm(cache, { recursive: true });
  });

  it("name the missing tools, with the remedy", async () => {
    const cache = await mkdtemp(join(tmpdir(), "ringmaster-doctor-"));
    const { code, text } = await doctor({ PATH: cache, RINGMASTER_CACHE: cache });
    assert.equal(code, 1);
    assert.match(text, /^missing +Python with pip +python3 was not found .*apt-get/m);
    assert.match(text, /^missing +C\+\+ compiler .*dnf install gcc-c\+\+/m);
    assert.match(text, /^later +npm /m);
    await rm(cache, { recursive: true });
  });
});

describe("describeFindings()", () => {
  it("puts place and remedy under the part", () => {
    const text = describeFindings([
      { part: "a", state: "ok", found: "1" },
      { part: "long", state: "broken", found: "2", where: "/w", remedy: "do it" },
    ]);
    const indent = " ".repeat(15);
    assert.equal(text, `ok       a     1\nbroken   long  2\n${indent}in /w\n${indent}→ do it\n`);
  });
});

describe("exitCodeOf()", () => {
  const cases = [
    ["ok", 0],
    ["later", 0],
    ["missing", 1],
    ["broken", 1],
  ] as const;
  for (const [state, code] of cases) {
    it(`is ${code} for ${state}`, () => {
      assert.equal(exitCodeOf([{ part: "a", state, found: "" }]), code);
    });
  }
});
