/** Workers that somebody else starts: on other machines, by Kubernetes, by hand. There is nothing to do but wait. */
import type { Launcher, LaunchOrder, WorkerEnd } from "./launcher.ts";

/** Starts nothing. */
export class WaitingLauncher implements Launcher {
  readonly firstEnd: Promise<string> = new Promise(() => undefined);
  readonly #say: (line: string) => void;

  /** @param say takes one line for a person */
  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  launch(order: LaunchOrder): Promise<void> {
    this.#say(
      `waiting for ${order.workers} workers: start each with worker --coordinator HOST:${portOf(order.coordinatorAddress)}`,
    );
    return Promise.resolve();
  }

  idOf(): string | null {
    return null;
  }

  endOf(): Promise<WorkerEnd> {
    return Promise.resolve({ end: null, lastLines: [], logFile: null });
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}

function portOf(address: string): string {
  return address.slice(address.lastIndexOf(":") + 1);
}
