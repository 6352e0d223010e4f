/**
 * The addon between node and TensorFlow: the sources that `@tensorflow/tfjs-node-gpu` ships, and our own beside them,
 * compiled with one call against the wheel's libraries. It is pure Node-API, so one build serves every Node version.
 */
import { createHash } from "node:crypto";
import { readFile, readdir, rm, mkdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { installFolder } from "../cache/install-folder.ts";
import type { FetchContext } from "./fetch-pinned.ts";
import { runGuarded, type CommandOptions } from "./guarded-command.ts";
import { bindingName, exactAddonName } from "./addon-files.ts";
import { patchBindingSource } from "./binding-patch.ts";
import { tensorflowVersion } from "./pins.ts";
import { loaderFolder, type Platform } from "./platform.ts";
import { SetupProblem } from "./setup-problem.ts";
import type { TensorflowFolder } from "./tensorflow.ts";
import { findCompiler } from "./toolchain.ts";

/** One source or header as it is compiled. */
export interface BindingSource {
  readonly name: string;
  readonly content: Buffer;
}

/** What goes into a build. */
export interface BindingInput {
  readonly platform: Platform;
  readonly tensorflow: TensorflowFolder;
  readonly sources: readonly BindingSource[];
  /** Those of the exact sums' addon. */
  readonly exactSources: readonly BindingSource[];
  readonly nodeApiVersion: string;
  readonly nodeApiInclude: string;
}

const require = createRequire(import.meta.url);
const ownSourceFolder = fileURLToPath(new URL("../../worker/engine/native/", import.meta.url));
const exactSourceFolder = fileURLToPath(new URL("../../worker/exact/native/", import.meta.url));
const sourceName = /\.(cc|h)$/;
const keyCharacters = 16;
const compileFlags = [
  "-O3",
  "-fno-math-errno",
  // The innermost loop of a product is two lines of 64 bytes; where it begins within one, it takes up to a tenth longer.
  "-falign-loops=64",
  "-std=c++17",
  "-w",
  "-fPIC",
  "-shared",
  "-DNAPI_VERSION=8",
] as const;

async function sourcesIn(folder: string): Promise<BindingSource[]> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => sourceName.test(name));
  return Promise.all(
    names.sort().map(async (name) => ({ name, content: await readFile(join(folder, name)) })),
  );
}

/** Reads everything that decides the build. About 10 ms. */
export async function readBindingInput(
  platform: Platform,
  tensorflow: TensorflowFolder,
): Promise<BindingInput> {
  const packageFolder = dirname(require.resolve("@tensorflow/tfjs-node-gpu/package.json"));
  const nodeApiFile = require.resolve("node-api-headers/package.json");
  const [packaged, own, exactSources, nodeApi] = await Promise.all([
    sourcesIn(join(packageFolder, "binding")),
    sourcesIn(ownSourceFolder),
    sourcesIn(exactSourceFolder),
    readFile(nodeApiFile, "utf8"),
  ]);
  return {
    platform,
    tensorflow,
    sources: [...packaged.map(patchBindingSource), ...own],
    exactSources,
    nodeApiVersion: z.object({ version: z.string() }).parse(JSON.parse(nodeApi)).version,
    nodeApiInclude: join(dirname(nodeApiFile), "include"),
  };
}

/** The compiler's arguments but for the places of sources and output. */
function linkerFlags(platform: Platform, tensorflowName: string): string[] {
  const libraries = `${loaderFolder(platform)}/../../tensorflow/${tensorflowName}/tensorflow`;
  return [`-Wl,-rpath,${libraries}`, ...nodeSymbolFlags(platform)];
}

/** Node's own symbols are found when an addon is loaded. */
function nodeSymbolFlags(platform: Platform): string[] {
  return platform === "darwin-arm64" ? ["-undefined", "dynamic_lookup"] : [];
}

/** Where the addon of this input lies, or will lie: another input has another folder. */
export function bindingFile(cache: string, input: BindingInput): string {
  const hash = createHash("sha256").update(
    JSON.stringify([
      input.tensorflow.name,
      input.nodeApiVersion,
      compileFlags,
      linkerFlags(input.platform, input.tensorflow.name),
    ]),
  );
  for (const { name, content } of [...input.sources, ...input.exactSources]) {
    hash.update(`\n${name} ${content.length}\n`).update(content);
  }
  const key = hash.digest("hex").slice(0, keyCharacters);
  return join(cache, "binding", `${input.tensorflow.name}-${key}`, bindingName);
}

/**
 * Loads the addon in a process of its own, so that a crash is a message, and checks TensorFlow's version. About 1 s.
 * Throws `SetupProblem` (`load`).
 */
export async function checkBindingLoads(file: string, options: CommandOptions): Promise<void> {
  const program = "console.log(require(process.argv[1]).TF_Version)";
  const env = { ...options.env, TF_CPP_MIN_LOG_LEVEL: "2" };
  const loaded = await runGuarded([process.execPath, "-e", program, file], { ...options, env });
  if (loaded.status === 0 && loaded.stdout.trim() === tensorflowVersion) return;
  const illegalInstruction = 132;
  if (loaded.status === illegalInstruction) {
    throw new SetupProblem("load", "TensorFlow's library needs a processor with AVX");
  }
  const said = loaded.stderr.split("\n").find((line) => /error/i.test(line)) ?? loaded.stdout;
  throw new SetupProblem("load", `the compiled binding cannot be loaded: ${said.trim()}`);
}

/** What the compiler makes of some sources. */
interface Addon {
  readonly name: string;
  readonly sources: readonly BindingSource[];
  /** Arguments in front of the sources, and behind them. */
  readonly include: readonly string[];
  readonly link: readonly string[];
}

function addonsOf(input: BindingInput): readonly Addon[] {
  const { platform, tensorflow, sources, exactSources, nodeApiInclude } = input;
  const headers = `-I${nodeApiInclude}`;
  return [
    {
      name: bindingName,
      sources,
      include: [headers, `-I${tensorflow.includeFolder}`],
      link: [...tensorflow.libraryFiles, ...linkerFlags(platform, tensorflow.name)],
    },
    {
      name: exactAddonName,
      sources: exactSources,
      // What WebAssembly rounds twice is not to be rounded once.
      include: ["-ffp-contract=off", headers],
      link: nodeSymbolFlags(platform),
    },
  ];
}

async function compile(addon: Addon, folder: string, context: FetchContext): Promise<void> {
  const { cache, env, signal } = context;
  const compiler = await findCompiler({ env, signal });
  const sourceFolder = join(folder, "binding");
  await mkdir(sourceFolder);
  for (const { name, content } of addon.sources) {
    await writeFile(join(sourceFolder, name), content);
  }
  const result = await runGuarded(
    [
      ...compiler.command,
      ...compileFlags,
      ...addon.include,
      `-I${sourceFolder}`,
      `-I${folder}`,
      ...addon.sources
        .filter(({ name }) => name.endsWith(".cc"))
        .map(({ name }) => join(sourceFolder, name)),
      ...addon.link,
      "-o",
      join(folder, addon.name),
    ],
    // The compiler's own temporary files must not outlive a killed set-up either.
    { env: { ...env, TMPDIR: folder }, signal },
  );
  await rm(sourceFolder, { recursive: true });
  if (result.status === 0) return;
  const logFile = join(cache, "binding-build.log");
  await writeFile(logFile, result.stderr);
  const firstError = result.stderr.split("\n").find((line) => /error/i.test(line));
  throw new SetupProblem(
    "build",
    `${compiler.command.join(" ")} could not compile ${addon.name}: ${firstError?.trim() ?? `status ${result.status}`}`,
    `all of its output is in ${logFile}`,
  );
}

/** Compiles, tries and installs the addons. The caller holds the set-up's lock, and TensorFlow is installed. */
export async function installBinding(input: BindingInput, context: FetchContext): Promise<void> {
  const { env, signal } = context;
  const task = context.progress.begin({ label: "compile the TensorFlow binding" });
  let note: string | undefined = "failed";
  try {
    await installFolder(dirname(bindingFile(context.cache, input)), async (folder) => {
      for (const addon of addonsOf(input)) await compile(addon, folder, context);
      // Its libraries are found relative to where it lies: a temporary folder is as deep as the final one.
      await checkBindingLoads(join(folder, bindingName), { env, signal });
    });
    note = undefined;
  } finally {
    task.end(note);
  }
}
