/** What every command is given of the world: streams, environment, clock, interrupts. */
import type { Readable, Writable } from "node:stream";

/** The first Ctrl-C or SIGTERM asks to finish the step and leave, the second to leave now. */
export interface Interrupts {
  readonly finish: AbortSignal;
  readonly leave: AbortSignal;
}

/** The world of a command. */
export interface CommandContext {
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly now: () => Date;
  /** Milliseconds of a clock that only goes forward. */
  readonly nowMs: () => number;
  readonly processId: number;
  readonly platform: NodeJS.Platform;
  /** Node's version, such as v20.19.0. */
  readonly nodeVersion: string;
  readonly interrupts: Interrupts;
}

/** Writes one line to the user. */
export function say(context: CommandContext, line: string): void {
  context.stdout.write(`${line}\n`);
}
