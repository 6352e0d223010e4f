/** Memory that another process lends: it is read as it lies there, and nothing else is. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { readLent, Unreadable } from "../../../coordinator/server/lent-memory.ts";
import { exactAddonFile } from "../../../foundation/native/addon-files.ts";
import { LentMemorySchema, type LentMemory } from "../../../proto/gen/ringmaster/v1/run_pb.ts";
import { MemoryFiles } from "../../../worker/exact/memory-files.ts";
import { installedBinding } from "../../support/installed-binding.ts";

const addonFile = exactAddonFile(await installedBinding());
const skip =
  MemoryFiles.load(addonFile) === null
    ? "this system has no memory that processes can share so"
    : false;
/** More than is read at a time. */
const fileBytes = 17 * 1024 * 1024;
const never = new AbortController().signal;

const lender = `
  import { MemoryFiles } from ${JSON.stringify(new URL("../../../worker/exact/memory-files.ts", import.meta.url).href)};
  const pages = ${fileBytes} / 65_536;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const { device, inode, ...rest } = MemoryFiles.load(process.argv[1]).layUnder(memory);
  new Uint32Array(memory.buffer).forEach((_, at, words) => (words[at] = at));
  console.log(JSON.stringify({ ...rest, device: String(device), inode: String(inode) }));
  setInterval(() => memory, 1_000_000);
`;

const children: ChildProcess[] = [];

async function lendingProcess(): Promise<{
  readonly child: ChildProcess;
  readonly lent: LentMemory;
}> {
  const program = ["--import", "tsx", "--input-type=module", "-e", lender, addonFile];
  const child = spawn(process.execPath, program, { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const told = JSON.parse(line) as {
    processId: number;
    descriptor: number;
    device: string;
    inode: string;
  };
  const { processId, descriptor, device, inode } = told;
  const file = { processId, descriptor, device: BigInt(device), inode: BigInt(inode) };
  return { child, lent: create(LentMemorySchema, { ...file, position: 8n, bytes: 12n }) };
}

function assertUnreadable(lent: LentMemory, bytes: number, why: RegExp): Promise<void> {
  return assert.rejects(
    readLent(lent, new Uint8Array(bytes), never),
    (error) => error instanceof Unreadable && why.test(error.message),
  );
}

describe("lent memory", { skip }, () => {
  after(() => {
    for (const child of children) child.kill("SIGKILL");
  });

  it("is read from another process, while that lives", async () => {
    const { child, lent } = await lendingProcess();
    const words = new Uint32Array(3);
    await readLent(lent, new Uint8Array(words.buffer), never);
    assert.deepEqual([...words], [2, 3, 4]);
    const whole = new Uint32Array(fileBytes / 4);
    await readLent({ ...lent, position: 0n }, new Uint8Array(whole.buffer), never);
    assert.ok(whole.every((word, at) => word === at));
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
    await assertUnreadable(lent, 12, /ENOENT/u);
  });

  it("is not read as another file than is meant, nor beyond its end, nor for nobody", async () => {
    const { lent } = await lendingProcess();
    await assertUnreadable({ ...lent, inode: lent.inode + 1n }, 12, /another file/u);
    await assertUnreadable({ ...lent, device: lent.device + 1n }, 12, /another file/u);
    // Its output is a pipe.
    await assertUnreadable({ ...lent, descriptor: 1 }, 12, /another file|ENXIO/u);
    await assertUnreadable({ ...lent, descriptor: 9999 }, 12, /ENOENT/u);
    const last = BigInt(fileBytes - 8);
    await assertUnreadable({ ...lent, position: last }, 12, /ends after 8 of 12 bytes/u);
    const reason = new Error("over");
    await assert.rejects(
      readLent(lent, new Uint8Array(12), AbortSignal.abort(reason)),
      (error) => error === reason,
    );
  });
});
