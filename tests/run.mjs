// Runs the tests: `node tests/run.mjs [FILE or FOLDER …]`, all of them without arguments. node's own runner needs the files
// named on Node 20, and prints its summary at the end. It starts files in the order given: the folders whose files start real
// programs, and take longest, come first, so that no long file is left to run alone at the end.
import { spawnSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

const testsFolder = dirname(fileURLToPath(import.meta.url));
const root = dirname(testsFolder);

const longFolders = ["bench", "gpu", "story", "parity", "worker/engine"];

/** Place in the order: long folders as they are listed, then all others. */
function turnOf(file) {
  const inside = relative(testsFolder, file);
  const turn = longFolders.findIndex((folder) => inside.startsWith(join(folder, sep)));
  return turn < 0 ? longFolders.length : turn;
}

function testFiles(path) {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.name !== "node_modules")
    .flatMap((entry) => {
      const inside = join(path, entry.name);
      if (entry.isDirectory()) return testFiles(inside);
      return entry.name.endsWith(".test.ts") ? [inside] : [];
    });
}

/**
 * How long a file may take before it is ended and named, when all run: far longer than any needs, so that its only use is that a process
 * which does not end (a failed test left a server open, say) costs its own result, not everybody's.
 */
const hungAfterMs = 30 * 60_000;

const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
const options = process.argv.slice(2).filter((argument) => argument.startsWith("--"));
const files = (wanted.length === 0 ? [testsFolder] : wanted)
  .flatMap(testFiles)
  .map((file) => resolve(file))
  .sort((left, right) => turnOf(left) - turnOf(right) || (left < right ? -1 : 1));
const ran = spawnSync(
  process.execPath,
  [
    "--import",
    "tsx",
    "--test",
    "--test-concurrency=2",
    "--test-reporter=spec",
    ...(wanted.length === 0 ? [`--test-timeout=${hungAfterMs}`] : []),
    ...options,
    ...files.map((file) => relative(root, file)),
  ],
  { cwd: root, stdio: "inherit" },
);
process.exit(ran.status ?? 1);
