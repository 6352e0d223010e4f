// Starts the engine's thread: loads TypeScript, then its main module.
import { register } from "tsx/esm/api";

register();
await import("./engine-thread-main.ts");
