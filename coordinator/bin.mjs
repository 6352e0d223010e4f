#!/usr/bin/env node
// Starts the coordinator from any folder. Plain JavaScript that an old Node can parse: it says what is missing before
// anything modern is loaded.
const [major, minor] = process.versions.node.split(".").map(Number);

async function start() {
  const { loadProgram } = await import("../foundation/bundle/load-program.mjs");
  let program;
  try {
    program = await loadProgram(new URL("./main.ts", import.meta.url), process);
  } catch (error) {
    if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
    process.stderr.write(
      "coordinator: expected its packages, found none (run `npm ci` in the clone)\n",
    );
    return 1;
  }
  return program.main(process);
}

if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(
    `coordinator: expected Node 20.19 or newer, found ${process.versions.node} (https://nodejs.org, or your system's packages)\n`,
  );
  process.exitCode = 1;
} else {
  void start().then(async (code) => {
    process.exitCode = code;
    // A reader may be slow, or gone; whatever else is still open is of something that is over, and must not keep the process.
    const written = [process.stdout, process.stderr].map(
      (stream) => new Promise((resolve) => stream.write("", resolve)),
    );
    await Promise.all(written);
    process.exit();
  });
}
