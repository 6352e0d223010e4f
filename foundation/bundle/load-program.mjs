// Loads one of the programs from a bundle of its sources, which is made once and kept beside the packages: hundreds of
// TypeScript files that each process and thread would otherwise read, translate and link are a few. Where it can be
// neither found nor made (a folder that cannot be written), tsx reads the sources. Plain JavaScript: it runs before
// anything that reads TypeScript.
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import * as nodeModule from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { traceSources } from "./source-traces.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const bundleFolder = join(root, "node_modules", ".cache", "ringmaster");
const sourceFolders = ["coordinator", "foundation", "proto", "worker"];
/** Environment variable by which a program tells its threads and processes its bundle: none of them looks for it again. */
const bundleVariable = "RINGMASTER_BUNDLE";
/** What is started: each becomes a file of the bundle, under the same path. */
const entries = [
  "coordinator/main.ts",
  "worker/main.ts",
  "worker/engine/engine-thread-main.ts",
  "worker/engine/record-process-main.ts",
  "worker/input/input-thread-main.ts",
  "worker/ring/lane-thread-main.ts",
];
/** Packages that go into the bundle with what they import: every process loads them, from a hundred files each. */
const bundledPackages = new Set([
  "@bufbuild/protobuf",
  "@grpc/grpc-js",
  "commander",
  "nats",
  "pino",
  "prom-client",
  "yaml",
  "zod",
]);
/** The code that makes and loads bundles. */
const bundlerFiles = ["load-program.mjs", "source-traces.mjs"].map((name) =>
  join("foundation", "bundle", name),
);
/** Bundles that are kept: a process that runs still may load a part of an older one. */
const bundlesMax = 16;

/** The sources, in one order on every machine. */
function sourceFiles() {
  return sourceFolders
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true }).map((name) => join(folder, name)),
    )
    .filter((file) => file.endsWith(".ts"))
    .sort((left, right) => (left < right ? -1 : 1));
}

/** Names the bundle after all that decides it. By content: times of files do not survive images and checkouts. */
function keyOf() {
  const hash = createHash("sha256").update(root);
  for (const file of ["package.json", ...bundlerFiles, ...sourceFiles()]) {
    hash.update(`\n${file}\n`).update(readFileSync(join(root, file)));
  }
  return hash.digest("hex").slice(0, 32);
}

/**
 * A module finds the files beside it (threads, WebAssembly, job files) by the place of its source. Of zod it takes what it
 * uses: `z` itself is all of zod, with its messages in fifty languages.
 */
const sourcePlaces = {
  name: "source-places",
  setup(build) {
    build.onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const place = JSON.stringify(pathToFileURL(path).href);
      const contents = readFileSync(path, "utf8")
        .replaceAll("import.meta.url", place)
        .replace('import { z } from "zod";', 'import * as z from "zod";');
      return { contents, loader: "ts" };
    });
  },
};

/** Writes the bundle aside and renames it into place. Of several processes that do so at once, one wins. */
async function make(folder) {
  const { build } = await import("esbuild");
  const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const aside = `${folder}.${process.pid}.part`;
  mkdirSync(aside, { recursive: true });
  try {
    await build({
      absWorkingDir: root,
      entryPoints: entries,
      outdir: aside,
      outbase: root,
      outExtension: { ".js": ".mjs" },
      chunkNames: "parts/[hash]",
      bundle: true,
      splitting: true,
      external: Object.keys(dependencies).filter((name) => !bundledPackages.has(name)),
      // What packages in CommonJS require.
      banner: {
        js: 'import { createRequire as _make } from "node:module"; const require = _make(import.meta.url);',
      },
      // What V8 need not read. Names stay: errors and profiles tell them.
      minifySyntax: true,
      minifyWhitespace: true,
      format: "esm",
      platform: "node",
      target: "node20",
      sourcemap: true,
      sourcesContent: false,
      logLevel: "silent",
      plugins: [sourcePlaces],
    });
    renameSync(aside, folder);
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

function removeOld() {
  const bundles = readdirSync(bundleFolder)
    .map((name) => join(bundleFolder, name))
    .map((path) => ({ path, madeMs: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((left, right) => right.madeMs - left.madeMs);
  for (const { path } of bundles.slice(bundlesMax)) rmSync(path, { recursive: true, force: true });
}

/** The bundle that the process's starter has loaded, where it is one of these sources; else null. */
function handedBundle(env) {
  const folder = env[bundleVariable];
  if (folder === undefined || dirname(folder) !== bundleFolder) return null;
  return existsSync(folder) ? folder : null;
}

/** The bundle's folder, made if it is not there; null where it cannot be made. */
async function bundle(env) {
  const handed = handedBundle(env);
  if (handed !== null) return handed;
  const folder = join(bundleFolder, keyOf());
  if (existsSync(folder)) return folder;
  try {
    await make(folder);
    removeOld();
  } catch {
    // Another process has made it meanwhile, or nobody can: then the sources are read as they are.
  }
  return existsSync(folder) ? folder : null;
}

/**
 * Loads the module of a program.
 * @param {string | URL} source URL of one of the entries, a TypeScript file
 * @param {{ env: NodeJS.ProcessEnv }} process the own one, whose environment names a bundle, and is told this one for what it starts
 * @returns {Promise<any>} what the module exports
 */
export async function loadProgram(source, { env }) {
  const file = fileURLToPath(source);
  const folder = await bundle(env);
  if (folder === null) {
    const { register } = await import("tsx/esm/api");
    register();
    return import(pathToFileURL(file).href);
  }
  // Node 22 and newer keep the compiled form of packages, too.
  nodeModule.enableCompileCache?.(join(bundleFolder, "compiled"));
  traceSources(folder);
  env[bundleVariable] = folder;
  const made = join(folder, relative(root, file).replace(/\.ts$/, ".mjs"));
  return import(pathToFileURL(made).href);
}
