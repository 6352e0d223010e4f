/** Fetching with the real pip from a loopback index: killed, offline, refused, on a full disk, and once more. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { explainPipFailure, fetchWheel } from "../../../foundation/native/fetch-wheel.ts";
import { tensorflowWheels, type PinnedWheel } from "../../../foundation/native/pins.ts";
import { SetupProblem } from "../../../foundation/native/setup-problem.ts";
import { skipWithout, works } from "../../support/needed-tool.ts";
import { makeWheel, pipEnvironment, startWheelIndex, type WheelIndex } from "./wheel-index.ts";

const program = fileURLToPath(new URL("fetch-one.ts", import.meta.url));
const root = fileURLToPath(new URL("../../../", import.meta.url));
const payloadBytes = 4_000_000;
const noProgress = { begin: () => ({ advance: () => undefined, end: () => undefined }) };
const mayMount = works("unshare", ["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]);
let folder = "";
let pin: PinnedWheel;
let content: Buffer;
let index: WheelIndex;

function fetch(cache: string, env: NodeJS.ProcessEnv, signal?: AbortSignal): Promise<string> {
  const context = { env, cache, progress: noProgress };
  return fetchWheel(pin, { ...context, signal: signal ?? new AbortController().signal });
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

describe("fetchWheel()", () => {
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "ringmaster-fetch-"));
    ({ pin, content } = makeWheel(folder, payloadBytes));
    index = await startWheelIndex(content);
  });
  after(async () => {
    await index.close();
    await rm(folder, { recursive: true });
  });

  it("goes on after a SIGKILL, which takes pip along and leaves nothing for long", async () => {
    const cache = join(folder, "killed");
    const { halfWay, gone } = index.stall();
    const child = spawn(
      process.execPath,
      ["--import", "tsx", program, cache, JSON.stringify(pin)],
      {
        env: pipEnvironment(index.url),
        cwd: root,
        stdio: "ignore",
      },
    );
    await halfWay;
    child.kill("SIGKILL");
    await gone;
    const [abandoned = ""] = await readdir(join(cache, "downloads"));
    assert.match(abandoned, /^\.incomplete-/);
    const file = await fetch(cache, pipEnvironment(index.url));
    assert.deepEqual(await readFile(file), content);
    assert.deepEqual(await readdir(join(cache, "downloads")), [pin.fileName]);
  });

  it("uses a whole file of an earlier set-up without the network, and only a whole one", async () => {
    const cache = join(folder, "killed");
    const offline = pipEnvironment("http://127.0.0.1:1/simple");
    const file = await fetch(cache, offline);
    assert.equal(file, join(cache, "downloads", pin.fileName));
    await writeFile(file, content.subarray(0, 1000));
    await assert.rejects(fetch(cache, offline), problem("network"));
    assert.deepEqual(await readFile(await fetch(cache, pipEnvironment(index.url))), content);
  });

  it("stops when it is told to, with pip, and leaves nothing", async () => {
    const cache = join(folder, "aborted");
    const { halfWay, gone } = index.stall();
    const controller = new AbortController();
    const fetching = fetch(cache, pipEnvironment(index.url), controller.signal);
    await halfWay;
    controller.abort(new Error("enough"));
    await assert.rejects(fetching, /enough/);
    await gone;
    assert.deepEqual(await readdir(join(cache, "downloads")), []);
  });

  it("says in one line that there is no network, and leaves nothing", async () => {
    const cache = join(folder, "offline");
    await assert.rejects(
      fetch(cache, pipEnvironment("http://127.0.0.1:1/simple")),
      problem("network", /ringmaster-test-part 1\.0/, /pip config list/),
    );
    assert.deepEqual(await readdir(join(cache, "downloads")), []);
  });

  it("says that pip may not look, or that the index has no such file", async () => {
    const env = { ...pipEnvironment(index.url), PIP_NO_INDEX: "1" };
    await assert.rejects(fetch(join(folder, "no"), env), problem("not-offered", /no-index/));
  });

  it("refuses a file of another SHA-256, naming it and both", async () => {
    const cache = join(folder, "hash");
    const other = { ...pin, sha256: "0".repeat(64) };
    const context = { env: pipEnvironment(index.url), cache, progress: noProgress };
    await assert.rejects(
      fetchWheel(other, { ...context, signal: new AbortController().signal }),
      problem(
        "wrong-hash",
        new RegExp(pin.fileName),
        /expected SHA-256 0{64}/,
        new RegExp(pin.sha256),
      ),
    );
    assert.deepEqual(await readdir(join(cache, "downloads")), []);
  });

  it(
    "says that the disk is full, and leaves nothing",
    { skip: skipWithout(mayMount, "unshare that may mount a tmpfs") },
    async () => {
      const cache = join(folder, "full");
      const script =
        'mkdir -p "$1" && mount -t tmpfs -o size=2m none "$1" && exec "$2" --import tsx "$3" "$1" "$4"';
      const child = spawn(
        "unshare",
        ["-rm", "sh", "-c", script, "sh", cache, process.execPath, program, JSON.stringify(pin)],
        { env: pipEnvironment(index.url), cwd: root, stdio: ["ignore", "pipe", "inherit"] },
      );
      let output = "";
      child.stdout.on("data", (text) => {
        output += String(text);
      });
      await once(child, "close");
      assert.match(
        output,
        /^disk: no space left on the disk of the cache folder \S+full .*RINGMASTER_CACHE.*\nleft: \n$/,
      );
    },
  );

  it("says that there is no Python, or none with pip, and how to get it", async () => {
    const env = { PATH: join(folder, "nothing") };
    const remedies = [/Debian.*apt-get install python3-pip/, /Fedora.*dnf/, /macOS.*xcode-select/];
    await assert.rejects(
      fetch(join(folder, "python"), env),
      problem("python", /python3/, ...remedies),
    );
  });
});

describe("explainPipFailure()", () => {
  const [wheel] = tensorflowWheels("linux-x64", "cpu");
  const cases = [
    [
      "network",
      "WARNING: Retrying (Retry(total=4…)) after connection broken by 'NewConnectionError'",
    ],
    ["network", "pip._vendor.urllib3.exceptions.ReadTimeoutError: Read timed out."],
    [
      "network",
      "ERROR: Could not install packages due to an OSError: … SSLError(SSLCertVerificationError",
    ],
    [
      "disk",
      "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
    ],
    ["not-offered", "ERROR: No matching distribution found for tensorflow-cpu==2.21.0"],
    ["network", "ERROR: something new"],
  ] as const;
  for (const [kind, stderr] of cases) {
    it(`takes "${stderr.slice(0, 60)}" for ${kind}`, () => {
      const explained = explainPipFailure(wheel, { status: 1, stdout: "", stderr }, "/cache");
      assert.equal(explained.kind, kind);
      assert.equal(explained.message.includes("\n"), false);
    });
  }
});
