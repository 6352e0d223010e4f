// Starts the input thread: loads TypeScript, then its main module.
import { register } from "tsx/esm/api";

register();
await import("./input-thread-main.ts");
