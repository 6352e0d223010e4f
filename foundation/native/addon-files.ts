/** The addons that are compiled into one folder. */
import { dirname, join } from "node:path";

/** Node's way to TensorFlow. */
export const bindingName = "tfjs_binding.node";
/**
 * Of exact sums: memory that processes of a host share, and hot loops (`worker/exact/memory-files.ts`, `native-loops.ts`). Needs no
 * library.
 */
export const exactAddonName = "exact.node";

/** The file of the exact sums' addon beside a binding. */
export function exactAddonFile(bindingFile: string): string {
  return join(dirname(bindingFile), exactAddonName);
}
