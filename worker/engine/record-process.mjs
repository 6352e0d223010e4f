// Starts a process that records programs: loads its main module as its program was loaded.
import { loadProgram } from "../../foundation/bundle/load-program.mjs";

await loadProgram(new URL("./record-process-main.ts", import.meta.url), process);
