/**
 * Carriers: exact sums by a thread over sockets of its own have the bits, squares and bytes of JavaScript's; a neighbour that is lost, a
 * message that is another, an abort and an end at any moment end it. Real sockets throughout.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { readTlsIdentity } from "../../../foundation/tls/tls-identity.ts";
import { wireForms } from "../../../foundation/gradient-wire.ts";
import { receiveWindowBytes } from "../../../proto/limits.ts";
import { Arena } from "../../../worker/exact/arena.ts";
import type { CarryingRing } from "../../../worker/exact/carried-sums.ts";
import { ExactSum } from "../../../worker/exact/exact-sum.ts";
import { LinkBroken } from "../../../worker/ring/link.ts";
import type { Ring } from "../../../worker/ring/ring.ts";
import {
  carrierRings,
  carriers,
  type CarrierMeans,
  type CarrierRings,
} from "../../support/carrier-rings.ts";
import { makeAuthority, skipTls } from "../../support/certificates.ts";

const never = (): AbortSignal => new AbortController().signal;
const supported = process.platform === "linux" && process.arch === "x64";
const skip = supported ? false : "carriers are for Linux on x86-64";
const parts = [1_300_003, 5, 40_000, 1];

/** Rings that are closed when the test is over, whatever has become of it: an open one would keep this process for ever. */
async function ringsFor(
  t: TestContext,
  count: number,
  means: CarrierMeans = {},
): Promise<Omit<CarrierRings, "close">> {
  const { close, ...made } = await carrierRings(count, means);
  t.after(close);
  return made;
}

/** What a rank has after three steps of `microbatches`, the second of them with a stretch of zeros. */
async function summed(ring: Ring, microbatches: number) {
  const { rank, worldSize, counters } = ring;
  const form = { form: wireForms.int32, wideFrom: parts.length };
  const sum = new ExactSum(parts, microbatches, [], form);
  for (let step = 0; step < 3; step++) {
    sum.begin();
    let held = 0;
    for (let m = rank; m < microbatches; m += worldSize) {
      const slot = sum.slot(held++);
      for (let i = 0; i < slot.length; i++) slot[i] = Math.sin(i * 0.37 + m + step) * (i % 977);
      if (step === 1) slot.fill(0, 200_000, 700_000);
    }
    await sum.addGroup(held, microbatches, ring, never());
    if (step < 2) sum.commit(step);
  }
  const { bytesSent, bytesReceived } = ring.counters;
  return {
    bits: Buffer.from(sum.vector.slice().buffer).toString("base64"),
    squares: sum.squaresOf(0),
    sent: bytesSent - counters.bytesSent,
    received: bytesReceived - counters.bytesReceived,
  };
}

async function summedOver(
  t: TestContext,
  count: number,
  microbatches: number,
  without: readonly number[],
) {
  const { rings } = await ringsFor(t, count, { without });
  for (const ring of rings) assert.equal(ring.hasCarrier, without.length === 0);
  return Promise.all(rings.map((ring) => summed(ring, microbatches)));
}

describe("carriers", { skip }, () => {
  // 3 of 4: a rank without a microbatch of its own. 8: several a rank.
  for (const [count, microbatches] of [
    [2, 8],
    [3, 8],
    [4, 3],
    [7, 8],
  ] as const) {
    it(`give ${count} ranks the bits, squares and bytes of JavaScript's sums of ${microbatches}`, async (t) => {
      const by = await summedOver(t, count, microbatches, []);
      const javaScripts = await summedOver(t, count, microbatches, [1]);
      assert.deepEqual(by, javaScripts);
      assert.equal(new Set(by.map(({ bits }) => bits)).size, 1);
    });
  }

  const nobody = async (t: TestContext, means: CarrierMeans): Promise<void> => {
    const { rings } = await ringsFor(t, 3, means);
    for (const { hasCarrier } of rings) assert.equal(hasCarrier, false);
  };

  it("are there for all ranks or for none: not with lanes, nor where one has no addon", async (t) => {
    await nobody(t, { lanes: 1 });
    await nobody(t, { without: [2] });
  });

  it("are not there with certificates", { skip: skipTls }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "ringmaster-carrier-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const files = makeAuthority(folder, "ours").issue("ring");
    await nobody(t, { tls: readTlsIdentity(files, new Date()) });
  });

  it("keep the largest byte of all ranks, of few and of many", async (t) => {
    const { rings } = await ringsFor(t, 3);
    for (const length of [1, 2, 3, 70_001]) {
      const all = rings.map(({ rank }) => {
        const bytes = new Arena(length).bytes(length);
        for (let i = 0; i < length; i++) bytes[i] = (i * 31 + rank * 97) % 256;
        return bytes;
      });
      const expected = Uint8Array.from({ length }, (_, i) =>
        Math.max(...all.map((one) => one[i]!)),
      );
      await Promise.all(rings.map((ring, rank) => ring.maxBytes(all[rank]!, never())));
      for (const bytes of all) assert.ok(Buffer.from(bytes).equals(expected));
    }
  });
});

/** Bytes that wait in the kernel, to be sent from a port and to be read by who has connected to it. Source: proc(5), /proc/net/tcp. */
function queuedFrom(port: number): number {
  const rows = readFileSync("/proc/net/tcp", "utf8").trim().split("\n").slice(1);
  const hex = (text: string | undefined, part: number): number =>
    Number.parseInt(text?.split(":")[part] ?? "", 16);
  const queues = rows.map((row) => {
    const [, local, remote, , queue] = row.trim().split(/\s+/u);
    if (hex(local, 1) === port) return hex(queue, 0);
    return hex(remote, 1) === port ? hex(queue, 1) : 0;
  });
  return queues.reduce((sum, bytes) => sum + bytes, 0);
}

/** A sum of 40 MB, more than a window. */
function largeSum({ rank }: Ring): ExactSum {
  const sum = new ExactSum([10_000_000], 1);
  sum.slot(0).fill(rank + 1);
  sum.begin();
  return sum;
}

describe("a carrier under way", { skip }, () => {
  it("waits for a rank that comes late, of which no more than a window is on its way", async (t) => {
    const { rings, ports } = await ringsFor(t, 3);
    const sums = rings.map(largeSum);
    // The exponents are agreed on by all; the late one's sum itself begins when it is let in.
    const { carrying } = rings[2]!;
    let letIn: () => void = () => undefined;
    const late = new Promise<void>((resolve) => (letIn = resolve));
    const carry: CarryingRing["carry"] = async (carried, signal) => {
      await late;
      await carrying!.carry(carried, signal);
    };
    const ring: Ring = { ...rings[2]!, carrying: { ...carrying!, carry } };
    const added = [rings[0]!, rings[1]!, ring].map((one, rank) =>
      sums[rank]!.addGroup(1, 3, one, never()),
    );
    // Of what the late one's left neighbour has for it, two thirds of 40 MB, a window is on its way, and no more.
    let queued = 0;
    for (let same = 0; same < 5; await sleep(50)) {
      const before = queued;
      queued = queuedFrom(ports[1]!);
      same = queued === before && queued > 0 ? same + 1 : 0;
    }
    assert.ok(queued <= receiveWindowBytes + 1024, `${queued} bytes are on their way`);
    letIn();
    await Promise.all(added);
    for (const { vector } of sums) assert.ok(vector.every((value) => value === 6));
  });

  it("is done with its memory when it is over: others have read all that it has lent", async (t) => {
    const { rings } = await ringsFor(t, 4);
    for (let spoiler = 0; spoiler < 8; spoiler++) {
      const sums = rings.map(largeSum);
      const added = rings.map(async (ring, rank) => {
        const sum = sums[rank]!;
        await sum.addGroup(1, 4, ring, never());
        // While others are still at it.
        if (rank === spoiler % 4) sum.vector.fill(Number.NaN);
        return sum.vector;
      });
      for (const [rank, vector] of (await Promise.all(added)).entries())
        assert.ok(rank === spoiler % 4 || vector.every((value) => value === 10));
    }
  });

  it("ends with the signal, and is of no use afterwards", async (t) => {
    const { rings } = await ringsFor(t, 3);
    const [first] = rings;
    const sum = largeSum(first!);
    const aborter = new AbortController();
    const added = sum.addGroup(1, 3, first!, aborter.signal);
    setImmediate(() => aborter.abort(new Error("enough")));
    await assert.rejects(added, /enough/u);
    const again = first!.maxBytes(new Arena(8).bytes(8), never());
    await assert.rejects(again, LinkBroken);
  });

  it("breaks where a neighbour leaves, on both of its sides", async (t) => {
    const { rings } = await ringsFor(t, 4);
    const sums = rings.map(largeSum);
    const added = [0, 1, 3].map((rank) => sums[rank]!.addGroup(1, 4, rings[rank]!, never()));
    const outcomes = Promise.allSettled(added);
    await rings[2]!.close();
    await rings[0]!.close();
    for (const outcome of await outcomes)
      assert.ok(outcome.status === "rejected" && outcome.reason instanceof LinkBroken);
  });

  it("breaks where another message comes than the one whose turn it is", async (t) => {
    const { rings } = await ringsFor(t, 3);
    const bytes = (length: number): Uint8Array => new Arena(length).bytes(length);
    const all = rings.map((ring) => ring.maxBytes(bytes(ring.rank === 1 ? 90 : 300), never()));
    // Who has noticed tells the others by leaving. Both ranks whose left neighbour sends other bytes than they expect may be first.
    const reasons = await Promise.all(
      all.map((done, rank) =>
        assert.rejects(done, LinkBroken).then(async () => {
          await rings[rank]!.close();
          return done.catch(({ message }: LinkBroken) => message);
        }),
      ),
    );
    const noticed = /^worker-(\d) .*not the one whose turn it is/u;
    const culprits = reasons.map((reason) => noticed.exec(String(reason))?.[1] ?? "");
    assert.ok(culprits.some((culprit) => culprit !== ""));
    for (const [rank, culprit] of culprits.entries())
      assert.ok(["", `${rank - 1}`].includes(culprit), `rank ${rank} has blamed worker-${culprit}`);
  });

  it("does not keep a process from ending, nor bring it down", async () => {
    const script = fileURLToPath(new URL("../../support/carrier-exit.ts", import.meta.url));
    const child = spawn(process.execPath, ["--import", "tsx", script], { stdio: "inherit" });
    const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
    assert.deepEqual([code, signal], [7, null]);
  });
});

describe("the addon", { skip }, () => {
  const none = new Float64Array(0);
  it("takes no carrier that is none, and no sockets that are none", () => {
    assert.throws(() => carriers!.stopCarrier({}), /no carrier/u);
    assert.throws(() => carriers!.openCarrier(1), /expected eight numbers/u);
    assert.throws(() => carriers!.openCarrier(9_999, 9_999, 1, 1, 1, 1, 1, 1), /taken over/u);
  });

  it("takes no pieces beyond the memory, and no sums whose blocks are none", () => {
    const carrier = carriers!.openCarrier(0, 1, 1, 1, 1, 1, 1, 1);
    const memory = new Uint8Array(new SharedArrayBuffer(65_536));
    const run = (sum: readonly number[], piece: readonly number[]): void =>
      carriers!.carry(
        carrier!,
        memory,
        0,
        1,
        Float64Array.from(sum),
        none,
        Float64Array.from(piece),
        none,
        () => undefined,
      );
    const wrong: readonly (readonly [number[], number[]])[] = [
      [[], [0, 2, 0, 70_000, 0, 0, 0]],
      [[], [0, 2, 0, 10, 0, 0, 65_530]],
      [[], [0, 2, 0, 10, 0, 0, -1]],
      [[], [0, 2, 0, Number.NaN, 0, 0, 0]],
      [[], [0, 4, 0, 10, 0, 0, 0]],
      [[], [0, 2, 0, 0, 0, 0, 0]],
      [[], [0, 0, 0, 8, 0, 1, 0]],
      [[], [0, 2, 0]],
      [[20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 65_536, 0, 0, 0], []],
      [[20, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0], []],
      [[20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 70_000], []],
      [[20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0], []],
    ];
    for (const [sum, piece] of wrong) assert.throws(() => run(sum, piece), /beyond its memory/u);
    carriers!.closeCarrier(carrier!);
    carriers!.closeCarrier(carrier!);
    assert.throws(() => run([], []), /open and has nothing else to do/u);
  });
});
