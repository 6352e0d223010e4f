/**
 * `npm run bench:data [-- SMALL_MB LARGE_MB]`: what a training file of 50 MB and one of 5 GB cost the coordinator: time to
 * check and index, memory, time to draw a global batch of 32. The files are made in a temporary folder.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeCpu } from "./support/cpu.ts";
import { writeLargeTable } from "./support/large-table.ts";
import { measureData, type DataCost } from "./support/measure-data.ts";
import { formatTable } from "./support/statistics.ts";

const megabyte = 1_000_000;
const batches = 200;
const sizes = [Number(process.argv[2] ?? 50), Number(process.argv[3] ?? 5000)];

function row(cost: DataCost): readonly string[] {
  const { fileBytes, records, indexMs, indexCpuMs, heldBytes, rssBytes, peakBytes, drawMs } = cost;
  const mb = (bytes: number): string => `${Math.round(bytes / megabyte)} MB`;
  return [
    mb(fileBytes),
    records.toLocaleString("en"),
    `${(indexMs / 1000).toFixed(1)} s`,
    `${(fileBytes / megabyte / (indexMs / 1000)).toFixed(0)} MB/s`,
    `${(fileBytes / megabyte / (indexCpuMs / 1000)).toFixed(0)} MB/s`,
    `${(heldBytes / records).toFixed(2)} B`,
    mb(rssBytes),
    mb(peakBytes),
    `${(drawMs / batches).toFixed(1)} ms`,
  ];
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ringmaster-data-"));
  const costs: DataCost[] = [];
  try {
    for (const size of sizes) {
      const file = join(folder, `${size}.tsv`);
      await writeLargeTable(file, size * megabyte);
      costs.push(await measureData(file, batches));
      rmSync(file);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const [small, large] = costs;
  if (small === undefined || large === undefined) throw new Error("two sizes are measured");
  const heading = [
    "file",
    "records",
    "index",
    "",
    "of CPU",
    "a record",
    "RSS",
    "peak",
    "a batch of 32",
  ];
  console.log(formatTable([heading, ...costs.map(row)]));
  const ratios = {
    file: large.fileBytes / small.fileBytes,
    rss: large.rssBytes / small.rssBytes,
    peak: large.peakBytes / small.peakBytes,
  };
  const cpu = describeCpu();
  console.log(JSON.stringify({ bench: "data", cpu, node: process.version, costs, ratios }));
}

await main();
