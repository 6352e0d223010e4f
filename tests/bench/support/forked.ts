/** A forked process of a bench that answers one message with one message. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { allocatorEnvironment } from "../../../proto/environment.ts";
import { ensureNativeParts } from "../../../foundation/native/native-parts.ts";
import { engineVariables } from "../../../worker/engine-environment.ts";
import { endWithBench } from "./leftovers.ts";

/** The addon's file, installed on first use. */
export async function ensureBinding(): Promise<string> {
  const { bindingFile } = await ensureNativeParts({
    env: process.env,
    device: "cpu",
    progress: { begin: () => ({ advance: () => undefined, end: () => undefined }) },
    signal: new AbortController().signal,
    parts: ["tensorflow", "binding"],
  });
  return bindingFile;
}

/** Asks a process that computes with TensorFlow under the workers' settings. */
export class ForkedEngine {
  readonly #child: ChildProcess;
  readonly #script: string;
  #errors = "";

  /** @param script beside this file @param threads of a kernel; 0 leaves them to TensorFlow */
  constructor(script: string, threads: number) {
    this.#script = script;
    this.#child = fork(fileURLToPath(new URL(`./${script}`, import.meta.url)), {
      execArgv: ["--import", "tsx"],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      env: {
        ...process.env,
        ...allocatorEnvironment,
        ...engineVariables({ threads, device: "cpu", localRank: 0 }),
      },
    });
    endWithBench(this.#child);
    // TensorFlow says there which kernels it uses: shown only where something went wrong.
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#errors = (this.#errors + text).slice(-10_000);
    });
  }

  /** Sends an order and waits for its answer. Throws where the process ends instead. */
  async ask(order: object): Promise<unknown> {
    const over = new AbortController();
    const exited = once(this.#child, "exit", { signal: over.signal }).then(([code]) => {
      throw new Error(`Cannot go on: ${this.#script} ended with ${code}\n${this.#errors}`);
    });
    exited.catch(() => undefined);
    try {
      const answer = once(this.#child, "message", { signal: over.signal });
      this.#child.send(order);
      const [message]: unknown[] = await Promise.race([answer, exited]);
      return message;
    } finally {
      over.abort();
    }
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }
}
