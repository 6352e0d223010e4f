// Starts a lane's thread: loads its main module as its program was loaded.
import { loadProgram } from "../../foundation/bundle/load-program.mjs";

await loadProgram(new URL("./lane-thread-main.ts", import.meta.url), process);
