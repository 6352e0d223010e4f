/** Results of a slow bench, a JSON line each, written as they come: a run that was cut off goes on where it stopped. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { z } from "zod";

/** Reads the lines of a file that a schema fits; others (another side's, another version's) are passed over. */
export function readStored<T>(file: string, schema: z.ZodType<T>): readonly T[] {
  if (file === "" || !existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .flatMap((line) => {
      const parsed = schema.safeParse(JSON.parse(line));
      return parsed.success ? [parsed.data] : [];
    });
}

/** Appends a result; without a file's name nothing is kept. */
export function store(file: string, result: object): void {
  if (file === "") return;
  mkdirSync(dirname(file), { recursive: true });
  appendFileSync(file, `${JSON.stringify(result)}\n`);
}

/** Names the sources that a result was made with: the commit, and a hash of what differs from it. */
export function sourceVersion(): string {
  const git = (...args: readonly string[]): string =>
    execFileSync("git", args, {
      cwd: dirname(fileURLToPath(import.meta.url)),
      encoding: "utf8",
      maxBuffer: 2 ** 28,
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  try {
    const changes = git("diff", "HEAD");
    const hash = createHash("sha256").update(changes).digest("hex").slice(0, 12);
    return `${git("rev-parse", "--short=12", "HEAD")}${changes === "" ? "" : `+${hash}`}`;
  } catch {
    return "unknown";
  }
}
