/**
 * Records programs in a process of its own. Recording runs a model op by op, and TensorFlow's allocator gives nothing of the
 * memory back: a worker that recorded would keep for the whole run what it took once.
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { unpackError, type PortableError } from "../input/input-messages.ts";
import type { PrepareOptions } from "./engine.ts";

const script = fileURLToPath(new URL("./record-process.mjs", import.meta.url));

/** What the process is asked for, once. */
export interface RecordRequest {
  readonly bindingFile: string;
  readonly options: PrepareOptions;
  /** Where the programs are to be; it is made. */
  readonly folder: string;
}

/** The process's one answer. */
export type RecordAnswer =
  | { readonly kind: "recorded" }
  | { readonly kind: "failed"; readonly error: PortableError };

/**
 * Records the programs of a job into a folder, with this process's environment. Rejects with what went wrong there, or where
 * the process ends before it has answered.
 */
export function recordApart(request: RecordRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = fork(script, { serialization: "advanced", execArgv: [] });
    child.once("message", (answer: RecordAnswer) => {
      if (answer.kind === "recorded") resolve();
      else reject(unpackError(answer.error));
    });
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      reject(new Error(`The process that records programs has ended with ${signal ?? code}`));
    });
    child.send(request);
  });
}
