#!/usr/bin/env -S GLIBC_TUNABLES=${GLIBC_TUNABLES}:glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592 node --min-semi-space-size=16
// Starts a worker from any folder. Plain JavaScript that an old Node can read: it says what is missing before anything
// modern is loaded.
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(
    `worker: expected Node 20.19 or newer, found ${process.versions.node} (https://nodejs.org, or your system's packages)\n`,
  );
  process.exit(1);
}

const { loadProgram } = await import("../foundation/bundle/load-program.mjs");
let program;
try {
  program = await loadProgram(new URL("./main.ts", import.meta.url), process);
} catch (error) {
  if (error?.code !== "ERR_MODULE_NOT_FOUND") throw error;
  process.stderr.write("worker: expected its packages, found none (run `npm ci` in the clone)\n");
  process.exit(1);
}
// Threads and sockets of work that is abandoned must not keep the process.
process.exit(await program.main(process));
