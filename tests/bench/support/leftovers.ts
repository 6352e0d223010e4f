/** What a bench leaves behind, whatever ends it but a SIGKILL: nothing. */
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const children = new Set<ChildProcess>();
const folders = new Set<string>();

function clear(): void {
  for (const child of children) child.kill("SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}

process.once("exit", clear);
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  process.once(signal, () => process.exit(code));
}

/** A child that ends with the bench. */
export function endWithBench(child: ChildProcess): void {
  children.add(child);
  child.once("close", () => children.delete(child));
}

/** A new temporary folder that goes with the bench. */
export function benchFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `ringmaster-${name}-`));
  folders.add(folder);
  return folder;
}
