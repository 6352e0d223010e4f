/** Workers that somebody starts by hand for a run that waits for them, on this host, but without shared memory. */
import { spawn, type ChildProcess } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { workerEnvironment as names } from "../../proto/environment.ts";
import { installedBinding } from "./installed-binding.ts";
import type { StoryRun } from "./story-run.ts";

/** Flags of the coordinator that waits. */
export const waitingFlags = ["--no-spawn-workers", "--listen", "127.0.0.1:0"] as const;
/** Of whom it takes. */
export const joinToken = "joined-by-hand-to-reach-each-other-by-grpc";

const workerProgram = fileURLToPath(new URL("../../worker/bin.mjs", import.meta.url));
const runFileSchema = z.object({ coordinatorAddress: z.string() });

/** One of them. */
export interface JoinedWorker {
  readonly child: ChildProcess;
  /** All that it has written so far. */
  said(this: void): string;
}

/** Starts so many once the run waits for them. @param output the run's folder */
export async function joinByGrpc(
  run: StoryRun,
  output: string,
  count: number,
): Promise<readonly JoinedWorker[]> {
  await run.until(/waiting for workers/u);
  const file = JSON.parse(await readFile(join(output, "run.json"), "utf8")) as unknown;
  const env = {
    ...process.env,
    [names.coordinator]: runFileSchema.parse(file).coordinatorAddress,
    [names.joinToken]: joinToken,
    [names.bindingFile]: await installedBinding(),
    [names.tensorflowVersion]: "2.21.0",
    [names.advertiseHost]: "127.0.0.1",
    [names.ringLanes]: "0",
  };
  return Array.from({ length: count }, () => {
    const args = [workerProgram, "--ring-transport", "grpc"];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], env });
    const said: string[] = [];
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (text: Buffer) => said.push(text.toString()));
    return { child, said: () => said.join("") };
  });
}
