import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn, setTimeout as pause } from "node:timers/promises";
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { exactAddonFile } from "../../../foundation/native/addon-files.ts";
import { Arena, placeInFile } from "../../../worker/exact/arena.ts";
import { MemoryFiles } from "../../../worker/exact/memory-files.ts";
import { LinkBroken } from "../../../worker/ring/link.ts";
import { installedBinding } from "../../support/installed-binding.ts";
import { sumIntegers } from "../../../worker/ring/accumulate.ts";
import { createMemoryRing } from "../../../worker/ring/memory-link.ts";
import { shareHost } from "../../../worker/ring/share-host.ts";
import { choosePieceBytes } from "../../../worker/ring/shared-board.ts";
import { SharedCollectives } from "../../../worker/ring/shared-collectives.ts";
import { sharedMemoryFolder } from "../../../foundation/host/host-id.ts";
import { describeCollectives, type CollectiveGroup } from "../../contract/collectives-contract.ts";

const files = MemoryFiles.load(exactAddonFile(await installedBinding()));
const never = new AbortController().signal;
let generation = 0n;

interface Trial {
  /** By rank; null shares nothing. */
  readonly folders: readonly (string | null)[];
  readonly hostIds?: readonly string[];
  /** What lets a rank map others' memory, by rank; by default none can. */
  readonly files?: readonly (MemoryFiles | null)[];
}

interface Outcome extends CollectiveGroup {
  /** How large the agreed pieces are, by rank; null where the rank shares no memory. */
  readonly pieceBytes: readonly (number | null)[];
  /** Whether each rank reads the others' memory where it lies. */
  readonly maps: readonly boolean[];
  readonly shared: readonly SharedCollectives[];
}

async function tryToShare({ folders, hostIds = [], files = [] }: Trial): Promise<Outcome> {
  generation += 1n;
  const count = folders.length;
  const links = createMemoryRing(count);
  const members = folders.map((_, rank) => ({
    workerId: `worker-${rank}`,
    ringAddress: "",
    hostId: hostIds[rank] ?? "here",
  }));
  const options = {
    run: `shared-test-${process.pid}`,
    generation,
    ringKey: new Uint8Array(32).fill(5),
    members,
    signal: never,
  };
  const all = await Promise.all(
    links.map((link, rank) =>
      shareHost(
        { rank, rankCount: count, link, collective: 0 },
        { ...options, folder: folders[rank] ?? null, memoryFiles: files[rank] ?? null },
      ),
    ),
  );
  const shared = all
    .filter((boards) => boards !== null)
    .map((boards) => new SharedCollectives(boards));
  for (const [rank, one] of shared.entries()) one.watch(links[rank]!);
  return {
    pieceBytes: all.map((boards) => boards?.pieceBytes ?? null),
    maps: all.map((boards) => (boards?.files ?? null) !== null),
    shared,
    ranks: shared,
    leave: (rank) => links[rank]?.close(),
    close: () => {
      for (const link of links) link.close();
      for (const one of shared) one.close();
      return Promise.resolve();
    },
  };
}

describe("memory that ranks read where it lies", { skip: files === null }, () => {
  const folders = [sharedMemoryFolder, sharedMemoryFolder, sharedMemoryFolder];

  it("is agreed on where all of them can map it, and by none where one cannot", async () => {
    for (const [given, maps] of [
      [[files, files, files], true],
      [[files, null, files], false],
    ] as const) {
      const outcome = await tryToShare({ folders, files: given });
      assert.deepEqual(outcome.maps, [maps, maps, maps]);
      await outcome.close();
    }
  });

  it("serves collectives of arenas' vectors and of others in any order", async () => {
    const outcome = await tryToShare({ folders, files: [files, files, files] });
    const arenas = outcome.shared.map(() => new Arena(1 << 20, { files }));
    const inArena = arenas.map((arena) => arena.words(5000));
    const elsewhere = outcome.shared.map(() => new Int32Array(5000));
    for (let turn = 1; turn <= 3; turn++) {
      await Promise.all(
        outcome.shared.map(async (shared, rank) => {
          for (const words of [inArena[rank]!, elsewhere[rank]!]) {
            const vector = new Int32Array(words.buffer, words.byteOffset, words.length);
            vector.fill(turn * (rank + 1));
            await shared.allReduce(vector, sumIntegers, never);
            assert.ok(vector.every((value) => value === turn * 6));
            // What was shown may change as soon as the call is over.
            vector.fill(-1);
            const [part] = await shared.allGather(Uint8Array.of(rank), [1, 1, 1], never);
            assert.deepEqual(part, Uint8Array.of(0));
          }
        }),
      );
    }
    await outcome.close();
  });

  it("ends the ring, not the worker, where it cannot be mapped after all", async () => {
    const outcome = await tryToShare({ folders, files: [files, files, files] });
    const [first, ...others] = outcome.shared;
    assert.ok(files !== null && first !== undefined);
    const gone = new Arena(4096, { files });
    const place = placeInFile(gone.bytes(4));
    assert.ok(place !== null);
    const named = place.file as { inode: bigint };
    named.inode += 1n;
    const ends = [
      first.allReduce(new Int32Array(gone.bytes(4).buffer, place.position, 1), sumIntegers, never),
      ...others.map((shared) => shared.allReduce(new Int32Array(1), sumIntegers, never)),
    ].map((end) => end.catch((error: unknown) => error));
    const failures = await Promise.all(ends.slice(1).map((end) => Promise.race([end, pause(50)])));
    assert.ok(
      failures.some(
        (failure) => failure instanceof LinkBroken && /another file/.test(failure.message),
      ),
    );
    for (const shared of outcome.shared) shared.break(new LinkBroken("over"));
    await Promise.all(ends);
    await outcome.close();
  });
});

function ringmasterFiles(folder: string): readonly string[] {
  return readdirSync(folder).filter((name) => name.startsWith("ringmaster-"));
}

describeCollectives(
  "collectives over shared memory",
  (count) => tryToShare({ folders: Array.from({ length: count }, () => sharedMemoryFolder) }),
  // A rank that is alone has nobody to share memory with.
  [2, 3, 4, 5, 6, 7, 8, 9],
);

describe("shared memory of a whole host", () => {
  it("moves 2·K·(N−1)/N bytes each way, as a ring does", async () => {
    const group = await tryToShare({ folders: Array(4).fill(sharedMemoryFolder) });
    const vectors = group.shared.map(() => new Int32Array(1_000_000).fill(3));
    await Promise.all(
      group.shared.map((rank, r) => rank.allReduce(vectors[r]!, sumIntegers, never)),
    );
    for (const { counters } of group.shared) {
      assert.deepEqual(counters, { sentBytes: 6_000_000, receivedBytes: 6_000_000 });
    }
    await group.close();
  });

  it("waits for a rank that is late after any number of rounds: counters wrap", async () => {
    const group = await tryToShare({ folders: Array(2).fill(sharedMemoryFolder) });
    const collectiveCount = 600;
    const sums = await Promise.all(
      group.shared.map(async (rank, r) => {
        const own: number[] = [];
        for (let i = 0; i < collectiveCount; i++) {
          if (r === 1) await turn();
          const vector = Int32Array.of(i, r);
          await rank.allReduce(vector, sumIntegers, never);
          own.push(vector[0]!);
        }
        return own;
      }),
    );
    const expected = Array.from({ length: collectiveCount }, (_, i) => 2 * i);
    assert.deepEqual(sums, [expected, expected]);
    await group.close();
  });

  it("leaves no file behind while it is used, nor when it is refused", async () => {
    const folder = mkdtempSync(join(tmpdir(), "boards-"));
    const other = mkdtempSync(join(tmpdir(), "boards-"));
    const group = await tryToShare({ folders: [folder, folder, folder] });
    assert.deepEqual(ringmasterFiles(folder), []);
    await group.close();
    const refused = await tryToShare({ folders: [folder, folder, other] });
    assert.deepEqual([...ringmasterFiles(folder), ...ringmasterFiles(other)], []);
    assert.deepEqual(refused.pieceBytes, [null, null, null]);
    await refused.close();
    for (const made of [folder, other]) rmSync(made, { recursive: true });
  });

  it("is refused by all when one does not want it, or is on another host", async () => {
    const unwilling = await tryToShare({ folders: [sharedMemoryFolder, null, sharedMemoryFolder] });
    assert.deepEqual(unwilling.pieceBytes, [null, null, null]);
    const apart = await tryToShare({
      folders: [sharedMemoryFolder, sharedMemoryFolder],
      hostIds: ["here", "there"],
    });
    assert.deepEqual(apart.pieceBytes, [null, null]);
    const missing = await tryToShare({ folders: ["/no/such/folder", sharedMemoryFolder] });
    assert.deepEqual(missing.pieceBytes, [null, null]);
  });
});

/** Mounts a tmpfs of this size and runs `use` in it; false where mounting is not permitted. */
async function inTmpfs(size: string, use: (folder: string) => Promise<void>): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), "tmpfs-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "none", folder], {
      stdio: "ignore",
    });
  } catch {
    rmSync(folder, { recursive: true });
    return false;
  }
  try {
    await use(folder);
  } finally {
    execFileSync("umount", [folder]);
    rmSync(folder, { recursive: true });
  }
  return true;
}

describe("shared memory of a container", () => {
  const notPermitted = "mounting a tmpfs is not permitted here";

  it("of 64 MiB does for four workers", async (t) => {
    const mounted = await inTmpfs("64m", async (folder) => {
      const group = await tryToShare({ folders: Array(4).fill(folder) });
      assert.equal(group.shared.length, 4);
      const vectors = group.shared.map(() => new Int32Array(3_000_001).fill(2));
      await Promise.all(
        group.shared.map((rank, r) => rank.allReduce(vectors[r]!, sumIntegers, never)),
      );
      for (const vector of vectors) assert.ok(vector.every((value) => value === 8));
      await group.close();
    });
    if (!mounted) t.skip(notPermitted);
  });

  it("that is small makes smaller pieces, and that is tiny or full is not used", async (t) => {
    const mounted = await inTmpfs("8m", async (folder) => {
      const small = await tryToShare({ folders: Array(3).fill(folder) });
      assert.equal(small.shared.length, 3);
      assert.ok((small.pieceBytes[0] ?? 0) < choosePieceBytes(sharedMemoryFolder, 3));
      const vectors = small.shared.map(() => new Int32Array(500_000).fill(1));
      await Promise.all(
        small.shared.map((rank, r) => rank.allReduce(vectors[r]!, sumIntegers, never)),
      );
      for (const vector of vectors) assert.ok(vector.every((value) => value === 3));
      await small.close();
      writeFileSync(join(folder, "filler"), new Uint8Array(7_900_000));
      const full = await tryToShare({ folders: Array(3).fill(folder) });
      assert.deepEqual(full.pieceBytes, [null, null, null]);
      assert.deepEqual(ringmasterFiles(folder), []);
    });
    if (!mounted) t.skip(notPermitted);
  });
});
