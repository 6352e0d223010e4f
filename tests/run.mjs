// Runs the tests: `node tests/run.mjs [FILE or FOLDER …]`, all of them without arguments. node's own runner needs the files
// named on Node 20, and prints its summary at the end.
import { spawnSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const testsFolder = dirname(fileURLToPath(import.meta.url));
const root = dirname(testsFolder);

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

const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
const options = process.argv.slice(2).filter((argument) => argument.startsWith("--"));
const files = (wanted.length === 0 ? [testsFolder] : wanted)
  .flatMap(testFiles)
  .sort((left, right) => (left < right ? -1 : 1));
const ran = spawnSync(
  process.execPath,
  [
    "--import",
    "tsx",
    "--test",
    "--test-concurrency=2",
    "--test-reporter=spec",
    ...options,
    ...files.map((file) => relative(root, join(process.cwd(), relative(process.cwd(), file)))),
  ],
  { cwd: root, stdio: "inherit" },
);
process.exit(ran.status ?? 1);
