/** Runs the real coordinator in a folder and cache of its own, and looks at what it says and leaves. */
import { spawn } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../../coordinator/bin.mjs", import.meta.url));

/** How a run of the program ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Files that lie in the folder afterwards and did not before; the cache's under `cache/`. */
  readonly written: readonly string[];
}

/** What to run, and in which surroundings. */
export interface ProgramRun {
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Makes the files that the row needs. */
  readonly prepare?: (folder: string) => Promise<unknown>;
  readonly stdin?: string;
}

/** What lies in a folder; of the cache's folders only what is in them counts. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .map((entry) => ({ entry, path: join(relative(folder, entry.parentPath), entry.name) }))
    .filter(({ entry, path }) => !(entry.isDirectory() && /^cache\b/.test(path)))
    .map(({ path }) => path)
    .toSorted();
}

/** The environment without what steers the program, with a cache of its own and no way to any network. */
function cleanEnvironment(folder: string): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(RINGMASTER|HF)_/.test(name));
  return {
    ...Object.fromEntries(kept),
    RINGMASTER_CACHE: join(folder, "cache"),
    HF_ENDPOINT: "http://127.0.0.1:9",
    PIP_INDEX_URL: "http://127.0.0.1:9/simple",
    npm_config_registry: "http://127.0.0.1:9/",
  };
}

/** How a program ended, without what it left. */
export type Said = Pick<Ended, "code" | "stdout" | "stderr">;

/** Runs the program in a folder, in the tests' own environment changed by `env`. */
export async function runIn(
  folder: string,
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly stdin?: string },
): Promise<Said> {
  const child = spawn(process.execPath, [program, ...args], {
    cwd: folder,
    env: { ...(options.env ?? process.env) },
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.end(options.stdin ?? "");
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  return { code, stdout, stderr };
}

/** Runs the program once in a new folder, which is removed afterwards. */
export async function runProgram(run: ProgramRun): Promise<Ended> {
  const folder = await mkdtemp(join(tmpdir(), "bad-input-"));
  try {
    await run.prepare?.(folder);
    const before = new Set(await filesIn(folder));
    const env = { ...cleanEnvironment(folder), ...run.env };
    const said = await runIn(folder, run.args, {
      env,
      ...(run.stdin === undefined ? {} : { stdin: run.stdin }),
    });
    return { ...said, written: (await filesIn(folder)).filter((file) => !before.has(file)) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
