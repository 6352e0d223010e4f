/** `coordinator setup`: prepares what a run needs, as a run itself would do when it is missing. */
import { ensureNativeParts } from "../../foundation/native/native-parts.ts";
import type { Device } from "../../foundation/device.ts";
import { currentPlatform, testedPlatforms } from "../../foundation/native/platform.ts";
import { createProgressSink } from "../../foundation/native/progress.ts";
import { ensureQuickstart } from "../quickstart/quickstart.ts";

/** The command's world. */
export interface SetupOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly device: Device;
  /** Fetch the quick start's model and data too. */
  readonly quickstart: boolean;
  readonly output: { write(text: string): unknown };
  readonly isTerminal: boolean;
  /** Milliseconds from any origin. */
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** Resolves with exit code 0 when all is there; throws `SetupProblem`, `BadInput` or the signal's reason. */
export async function runSetup(options: SetupOptions): Promise<number> {
  const { env, device, output, isTerminal, now, signal } = options;
  const progress = createProgressSink({ output, isTerminal, now });
  const platform = currentPlatform();
  if (!testedPlatforms.includes(platform) || device === "gpu") {
    output.write(`Native parts for ${device} on ${platform}: known, but not tested.\n`);
  }
  const parts = await ensureNativeParts({ env, device, progress, signal });
  output.write(`TensorFlow ${parts.tensorflowVersion} (${device})  ${parts.bindingFile}\n`);
  output.write(`nats-server  ${parts.natsServerFile}\n`);
  if (options.quickstart) {
    const quickstart = await ensureQuickstart({ env, progress, signal });
    output.write(`quick start  ${quickstart.modelFolder}\n             ${quickstart.trainFile}\n`);
  }
  return 0;
}
