/** The native binding of a worker that no launcher has given one. */
import type { Logger } from "pino";
import type { NativeParts } from "../foundation/native/native-parts.ts";

/** Ensures TensorFlow and the binding, logging what takes long. Rejects with SetupProblem. */
export async function ensureBinding(
  device: "cpu" | "gpu",
  world: {
    readonly env: NodeJS.ProcessEnv;
    readonly log: Logger;
    readonly signal: AbortSignal;
  },
): Promise<NativeParts> {
  // Loaded only where it is needed: workers of a launcher start without it.
  const { ensureNativeParts } = await import("../foundation/native/native-parts.ts");
  const { env, log, signal } = world;
  return await ensureNativeParts({
    env,
    device,
    signal,
    parts: ["tensorflow", "binding"],
    progress: {
      begin({ label, totalBytes }) {
        log.info({ totalBytes }, label);
        return {
          advance: () => undefined,
          end: (note) => log.info(`${label}: ${note ?? "done"}`),
        };
      },
    },
  });
}
