/** Goal: what a process shows of its memory another one reads as it is, without a copy; what is not meant cannot be mapped. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { exactAddonFile } from "../../../foundation/native/addon-files.ts";
import { Arena, placeInFile } from "../../../worker/exact/arena.ts";
import { requireHere } from "../../../worker/engine/binding.ts";
import { MemoryFiles } from "../../../worker/exact/memory-files.ts";
import { installedBinding } from "../../support/installed-binding.ts";

const addonFile = exactAddonFile(await installedBinding());
const loaded = MemoryFiles.load(addonFile);
const skip = loaded === null ? "this system has no memory that processes can share so" : false;

function filesHere(): MemoryFiles {
  assert.ok(loaded !== null);
  return loaded;
}

const reader = `
  import { MemoryFiles } from ${JSON.stringify(new URL("../../../worker/exact/memory-files.ts", import.meta.url).href)};
  const [addonFile, file, position] = process.argv.slice(1);
  const { device, inode, ...rest } = JSON.parse(file);
  const memory = MemoryFiles.load(addonFile).map({ ...rest, device: BigInt(device), inode: BigInt(inode) });
  const bytes = new Uint8Array(4);
  for await (const _ of process.stdin) {
    memory.read(Number(position), bytes);
    console.log(bytes.join());
  }
`;

describe("memory that others of the host can read", { skip }, () => {
  it("is read by another process, each time as it is by then", async () => {
    const arena = new Arena(4096, { files: filesHere() });
    const vector = arena.bytes(100);
    const place = placeInFile(vector);
    assert.ok(place !== null);
    const { device, inode, ...rest } = place.file;
    const file = JSON.stringify({ ...rest, device: String(device), inode: String(inode) });
    const program = ["--import", "tsx", "--input-type=module", "-e", reader];
    const child = spawn(
      process.execPath,
      [...program, addonFile, file, String(place.position + 8)],
      {
        stdio: ["pipe", "pipe", "inherit"],
      },
    );
    const ended = once(child, "exit");
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    for (const fill of [
      [1, 2, 3, 4],
      [250, 0, 7, 9],
    ]) {
      vector.set(fill, 8);
      child.stdin.write("read\n");
      assert.equal((await lines.next()).value, fill.join());
    }
    child.stdin.end();
    assert.deepEqual(await ended, [0, null]);
  });

  it("keeps the kernels' results, and counts as no more memory than it holds", () => {
    const arena = new Arena(1 << 20, { files: filesHere() });
    const plain = new Arena(1 << 20);
    const sums = [arena, plain].map((one) => {
      const [a, b] = [one.floats(1000), one.floats(1000)];
      for (let i = 0; i < 1000; i++) [a[i], b[i]] = [Math.sin(i), Math.cos(i)];
      one.kernels.addFloats(a, b);
      return Buffer.from(a.slice().buffer);
    });
    assert.ok(sums[0]?.equals(sums[1]!));
    assert.equal(placeInFile(plain.bytes(1)), null);
  });

  it("is not mapped as another file than is meant, nor beyond its end, nor once it is let go of", () => {
    const files = filesHere();
    const { probe } = files;
    const memory = files.map(probe);
    const target = new Uint8Array(16);
    memory.read(probe.bytes - 16, target);
    assert.throws(() => memory.read(probe.bytes - 15, target), /beyond the end/);
    assert.throws(() => memory.read(-1, target), /expected a mapping, a position/);
    assert.throws(() => memory.read(0.5, target), /expected a mapping, a position/);
    memory.close();
    assert.throws(() => memory.read(0, target), /beyond the end/);
    const other = new Arena(16, { files });
    const file = placeInFile(other.bytes(1))?.file;
    assert.ok(file !== undefined);
    const strict = MemoryFiles.load(addonFile);
    assert.throws(() => strict?.map({ ...file, inode: probe.inode }), /another file/);
    assert.throws(() => strict?.map({ ...file, bytes: file.bytes + 1 }), /too short/);
    assert.ok(strict?.canMap);
    assert.throws(() => strict?.map({ ...file, processId: 2 ** 31 - 1 }), /ENOENT/);
    assert.ok(!strict?.canMap, "a system that goes on refusing is not tried for ever");
  });

  it("is refused for a file that its owner could cut short: reading beyond its end would end the process", () => {
    const folder = mkdtempSync(join(tmpdir(), "ringmaster-"));
    const file = join(folder, "plain");
    writeFileSync(file, new Uint8Array(8192));
    const descriptor = openSync(file, "r");
    const { dev, ino } = fstatSync(descriptor, { bigint: true });
    const plain = { processId: process.pid, descriptor, device: dev, inode: ino, bytes: 4096 };
    assert.throws(() => MemoryFiles.load(addonFile)?.map(plain), /may shrink/);
    closeSync(descriptor);
    rmSync(folder, { recursive: true });
  });

  it("is laid under whole pages only, and the addon takes nothing else for a mapping", () => {
    const addon = requireHere(addonFile) as Record<string, (...values: unknown[]) => unknown>;
    assert.throws(() => addon["layUnder"]?.(new Uint8Array(100)), /whole pages/);
    assert.throws(() => addon["layUnder"]?.(new Float32Array(4096)), /no Uint8Array/);
    assert.throws(() => addon["layUnder"]?.(), /no Uint8Array/);
    assert.throws(() => addon["read"]?.({}, 0, new Uint8Array(1)), /expected a mapping/);
    assert.throws(() => addon["unmap"]?.({}), /no mapping/);
    assert.throws(() => addon["map"]?.(1, -1), /expected its descriptor/);
  });

  it("lets go of a mapping when it is told to", () => {
    const files = filesHere();
    const mapped = (): number => readFileSync("/proc/self/maps", "utf8").split("memfd:").length;
    const before = mapped();
    const memory = files.map(files.probe);
    assert.equal(mapped(), before + 1);
    memory.close();
    assert.equal(mapped(), before);
  });
});

describe("memory files without their addon", () => {
  it("are none", () => {
    assert.equal(MemoryFiles.load("/nowhere/exact.node"), null);
  });
});
