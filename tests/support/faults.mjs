// Loaded into every process of a run (NODE_OPTIONS=--import): a worker with this file throws when it is sent SIGUSR2.
import { isMainThread } from "node:worker_threads";

if (isMainThread && process.env["RINGMASTER_LOCAL_RANK"] !== undefined) {
  process.on("SIGUSR2", () => {
    throw new Error("a fault of this worker");
  });
}
