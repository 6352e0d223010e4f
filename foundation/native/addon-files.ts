/** The addons that are compiled into one folder. */
import { dirname, join } from "node:path";

/** Node's way to TensorFlow. */
export const bindingName = "tfjs_binding.node";
/** Memory that processes of a host share (`worker/exact/memory-files.ts`); needs no library. */
export const memoryAddonName = "memory_files.node";

/** The file of the memory addon beside a binding. */
export function memoryAddonFile(bindingFile: string): string {
  return join(dirname(bindingFile), memoryAddonName);
}
