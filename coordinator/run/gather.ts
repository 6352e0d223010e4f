/** Waiting for the workers to join. */
import type { Launcher } from "../launch/launcher.ts";
import { WorkerLost } from "./worker-lost.ts";
import type { Fleet } from "./fleet.ts";

/** Waits until all have joined. Throws WorkerLost as soon as one ends before it has. */
export async function gather(
  fleet: Fleet,
  launcher: Launcher,
  workers: number,
  signal: AbortSignal,
): Promise<void> {
  const gone = new AbortController();
  let over = false;
  void launcher.firstEnd.then((workerId) => {
    const reason = "it ended before it had joined";
    if (!over) gone.abort(new WorkerLost(workerId, { rank: null, reason }));
  });
  await fleet.gather(workers, AbortSignal.any([signal, gone.signal]));
  over = true;
}
