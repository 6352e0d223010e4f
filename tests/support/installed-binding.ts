/** The native binding's file, installed on first use, for tests that need what lies beside it but no TensorFlow. */
import { ensureNativeParts } from "../../foundation/native/native-parts.ts";

/** @param device what it computes on. Rejects with SetupProblem. */
export async function installedBinding(device: "cpu" | "gpu" = "cpu"): Promise<string> {
  const { bindingFile } = await ensureNativeParts({
    env: process.env,
    device,
    progress: { begin: () => ({ advance: () => undefined, end: () => undefined }) },
    signal: AbortSignal.timeout(600_000),
    parts: ["tensorflow", "binding"],
  });
  return bindingFile;
}
