/** The tools of the user's that a set-up needs: Python with pip, a C++ compiler, npm. */
import { runGuarded, type CommandOptions } from "./guarded-command.ts";
import { SetupProblem, describeRemedies } from "./setup-problem.ts";

/** A tool that answered. */
export interface Tool {
  /** What to run, with its fixed arguments. */
  readonly command: readonly string[];
  /** The first line it says of its version. */
  readonly version: string;
}

const pythonRemedies = describeRemedies({
  debian: "sudo apt-get install python3-pip",
  fedora: "sudo dnf install python3-pip",
  macos: "xcode-select --install, or brew install python",
});
const compilerRemedies = describeRemedies({
  debian: "sudo apt-get install g++",
  fedora: "sudo dnf install gcc-c++",
  macos: "xcode-select --install",
});
const npmRemedies = describeRemedies({
  debian: "sudo apt-get install npm",
  fedora: "sudo dnf install nodejs-npm",
  macos: "brew install node",
});

async function probe(
  command: readonly string[],
  versionFlag: string,
  options: CommandOptions,
): Promise<Tool | null> {
  const answer = await runGuarded([...command, versionFlag], options);
  if (answer.status !== 0) return null;
  return { command, version: answer.stdout.split("\n")[0]?.trim() ?? "" };
}

/** The user's pip, through `python3 -m pip`. */
export async function findPip(options: CommandOptions): Promise<Tool> {
  const pip = await probe(["python3", "-m", "pip"], "--version", options);
  if (pip !== null) return pip;
  const python = await probe(["python3"], "--version", options);
  const found =
    python === null ? "python3 was not found on the PATH" : `${python.version} has no pip`;
  throw new SetupProblem("python", found, pythonRemedies);
}

/** The user's C++ compiler: `$CXX` when set, else the first of c++, g++, clang++ that answers. */
export async function findCompiler(options: CommandOptions): Promise<Tool> {
  const chosen = options.env["CXX"]?.trim();
  const candidates = chosen ? [chosen.split(/\s+/)] : [["c++"], ["g++"], ["clang++"]];
  for (const candidate of candidates) {
    const found = await probe(candidate, "--version", options);
    if (found !== null) return found;
  }
  throw new SetupProblem(
    "compiler",
    chosen
      ? `the C++ compiler ${chosen} of CXX does not run`
      : "no C++ compiler was found on the PATH",
    compilerRemedies,
  );
}

/** The user's npm. */
export async function findNpm(options: CommandOptions): Promise<Tool> {
  const npm = await probe(["npm"], "--version", options);
  if (npm !== null) return npm;
  throw new SetupProblem("npm", "npm was not found on the PATH", npmRemedies);
}
