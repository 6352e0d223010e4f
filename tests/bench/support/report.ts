/** What every bench prints: the processor, a table for people, and as the last line one JSON object. */
import { tensorflowVersion } from "../../../foundation/native/pins.ts";
import { describeCpu, type Cpu } from "./cpu.ts";
import { sourceVersion } from "./result-store.ts";
import { formatTable } from "./statistics.ts";

/** A table and its title. */
export interface ReportTable {
  readonly title: string;
  /** The first row is the heading. */
  readonly rows: readonly (readonly string[])[];
  /** Lines beneath it. Default: none. */
  readonly below?: readonly string[];
}

/** Prints a bench's report. @param result goes into the last line, beside the bench's name and the processor */
export function printReport(
  bench: string,
  tables: readonly ReportTable[],
  result: Readonly<Record<string, unknown>>,
): void {
  const cpu: Cpu = describeCpu();
  console.log(`CPU: ${cpu.name}, ${cpu.cores} cores, ${cpu.flags.join(" ")}`);
  for (const { title, rows, below = [] } of tables) {
    console.log([`\n${title}`, formatTable(rows), ...below].join("\n"));
  }
  const ringmaster = {
    commit: sourceVersion(),
    node: process.versions.node,
    tensorflow: tensorflowVersion,
  };
  console.log(`\n${JSON.stringify({ bench, cpu, ringmaster, ...result })}`);
}

/** One line about how far a bench is, on standard error. */
export function tellProgress(line: string): void {
  process.stderr.write(`${(performance.now() / 1000).toFixed(0).padStart(4)} s  ${line}\n`);
}
