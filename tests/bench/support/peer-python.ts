/** The Python of the peers: a virtual environment with the pinned versions of peers/requirements.txt, made once. */
import { createHash } from "node:crypto";
import { execFile, execFileSync } from "node:child_process";
import { existsSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { z } from "zod";
import { endWithBench } from "./leftovers.ts";

/** Where the scripts of the peers lie. */
export const peersFolder = join(dirname(dirname(fileURLToPath(import.meta.url))), "peers");
const run = promisify(execFile);

/** Path of the interpreter; `RINGMASTER_BENCH_PYTHON` names one that has the packages already. */
export function ensurePeerPython(): string {
  const given = process.env["RINGMASTER_BENCH_PYTHON"];
  if (given !== undefined) return given;
  const requirements = join(peersFolder, "requirements.txt");
  const key = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 12);
  const cache = process.env["RINGMASTER_CACHE"] ?? join(homedir(), ".cache", "ringmaster");
  const folder = join(cache, `bench-python-${key}`);
  if (!existsSync(folder)) {
    process.stderr.write(`Installing the peers' packages into ${folder}\n`);
    const making = `${folder}.${process.pid}`;
    rmSync(making, { recursive: true, force: true });
    execFileSync("python3", ["-m", "venv", making], { stdio: "inherit" });
    const pip = [join(making, "bin/python"), "-m", "pip", "install", "-q", "-r", requirements];
    execFileSync(pip[0] ?? "python3", pip.slice(1), { stdio: "inherit" });
    renameSync(making, folder);
  }
  return join(folder, "bin", "python");
}

/** Runs one of the peers' scripts and parses the JSON line that it prints last. @param env beside the own environment */
export async function runPeer<T>(
  script: string,
  args: readonly string[],
  schema: z.ZodType<T>,
  env: Readonly<Record<string, string>> = {},
): Promise<T> {
  const running = run(ensurePeerPython(), [join(peersFolder, script), ...args], {
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, ...env },
  });
  endWithBench(running.child);
  const { stdout } = await running;
  const line = stdout.trim().split("\n").at(-1) ?? "";
  return schema.parse(JSON.parse(line));
}
