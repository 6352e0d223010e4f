/**
 * `npm run bench:ring [-- ROUNDS REPEATS]`: an exact sum of 4 to 250 MB as workers do it (exponents agreed, quantised,
 * reduced, scaled back) over 2 and 4 processes, beside gloo's float32 all-reduce, in turn.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { runPeer } from "./support/peer-python.ts";
import { printReport } from "./support/report.ts";
import { formatSpread, median, spreadOf } from "./support/statistics.ts";

const rounds = Number(process.argv[2] ?? 7);
const repeats = Number(process.argv[3] ?? 5);
const megabytes = [4, 25, 100, 250];

const timesSchema = z.record(z.string(), z.array(z.number()));
const peerSchema = z.object({ ms: timesSchema, torch: z.string() });
const addressSchema = z.object({ address: z.string() });
const resultSchema = z.object({ ms: timesSchema, transport: z.string() });

async function messageFrom<T>(child: ChildProcess, schema: z.ZodType<T>): Promise<T> {
  const [message] = await once(child, "message");
  return schema.parse(message);
}

async function ours(
  count: number,
  transport: "auto" | "grpc",
): Promise<z.infer<typeof timesSchema>> {
  const script = fileURLToPath(new URL("./support/ring-process.ts", import.meta.url));
  const children = Array.from({ length: count }, () =>
    fork(script, { execArgv: ["--import", "tsx"] }),
  );
  const hellos = await Promise.all(children.map((child) => messageFrom(child, addressSchema)));
  const addresses = hellos.map((hello) => hello.address);
  const results = children.map((child) => messageFrom(child, resultSchema));
  children.forEach((child, rank) => child.send({ rank, addresses, transport, repeats, megabytes }));
  const ends = children.map((child) => once(child, "exit"));
  const [first] = await Promise.all(results);
  await Promise.all(ends);
  return first?.ms ?? {};
}

async function main(): Promise<void> {
  const rows = [2, 4].flatMap((count) =>
    megabytes.map((size) => ({
      count,
      size,
      auto: [] as number[],
      grpc: [] as number[],
      gloo: [] as number[],
    })),
  );
  let torch = "";
  for (let round = 0; round < rounds; round++) {
    for (const count of [2, 4]) {
      const peer = await runPeer(
        "gloo_all_reduce.py",
        [count, repeats, ...megabytes].map(String),
        peerSchema,
      );
      torch = peer.torch;
      const auto = await ours(count, "auto");
      const grpc = await ours(count, "grpc");
      for (const row of rows.filter((candidate) => candidate.count === count)) {
        row.gloo.push(median(peer.ms[row.size] ?? []));
        row.auto.push(median(auto[row.size] ?? []));
        row.grpc.push(median(grpc[row.size] ?? []));
      }
    }
    process.stderr.write(`round ${round + 1} of ${rounds}\n`);
  }
  const results = rows.map((row) => ({
    processes: row.count,
    megabytes: row.size,
    sharedMs: spreadOf(row.auto),
    grpcMs: spreadOf(row.grpc),
    glooMs: spreadOf(row.gloo),
    sharedRatio: spreadOf(row.auto.map((ms, i) => (row.gloo[i] ?? Number.NaN) / ms)),
    grpcRatio: spreadOf(row.grpc.map((ms, i) => (row.gloo[i] ?? Number.NaN) / ms)),
  }));
  const title = `exact sum, ms, ${rounds} rounds in turn; ratio = gloo's time ÷ ours`;
  const table = [
    ["processes", "MB", "shared memory", "gRPC only", "gloo", "ratio", "ratio, gRPC only"],
    ...results.map((r) => [
      String(r.processes),
      String(r.megabytes),
      ...[r.sharedMs, r.grpcMs, r.glooMs].map((spread) => formatSpread(spread)),
      ...[r.sharedRatio, r.grpcRatio].map((spread) => formatSpread(spread, 2)),
    ]),
  ];
  printReport("ring", [{ title, rows: table }], { versions: { torch }, rounds, repeats, results });
}

await main();
