/** Runs a TypeScript program of the tests' own, such as a bench, as whoever calls it by npm does. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** How it ended. */
export interface ScriptEnd {
  readonly code: number;
  /** Of standard output, and of standard error. */
  readonly output: string;
  readonly errors: string;
}

/** @param python interpreter for a bench's peer; undefined where there is none */
export async function runScript(
  script: URL,
  args: readonly string[],
  python: string | undefined,
): Promise<ScriptEnd> {
  const child = spawn(process.execPath, ["--import", "tsx", fileURLToPath(script), ...args], {
    env: { ...process.env, ...(python === undefined ? {} : { RINGMASTER_BENCH_PYTHON: python }) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const [code] = await once(child, "close");
  return { code: Number(code), output, errors };
}
