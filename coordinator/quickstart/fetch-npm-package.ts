/** Fetches a pinned package with the user's npm, so that its registry, proxy and credentials apply. Nothing of it runs. */
import { join } from "node:path";
import { fetchPinned, type FetchContext } from "../../foundation/native/fetch-pinned.ts";
import { runGuarded } from "../../foundation/native/guarded-command.ts";
import { SetupProblem, diskFull } from "../../foundation/native/setup-problem.ts";
import { findNpm } from "../../foundation/native/toolchain.ts";

/** One package as `npm pack` writes it. */
export interface PinnedPackage {
  readonly package: string;
  readonly version: string;
  readonly fileName: string;
  readonly sha256: string;
  readonly bytes: number;
}

const networkWords =
  /ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|CERT_|SELF_SIGNED|network/;

/** What npm's failure means for the user, in one line. */
export function explainNpmFailure(what: string, stderr: string, cache: string): SetupProblem {
  if (/ENOSPC/.test(stderr)) return diskFull(cache);
  if (/\b(E404|ETARGET)\b/.test(stderr)) {
    return new SetupProblem(
      "not-offered",
      `npm's registry does not offer ${what}`,
      "check `npm config get registry`; a mirror may lack it",
    );
  }
  if (networkWords.test(stderr)) {
    return new SetupProblem(
      "network",
      `npm could not reach its registry for ${what}`,
      "check the network, or the registry and proxy that `npm config list` shows; the next set-up goes on from here",
    );
  }
  const said = stderr.split("\n").findLast((line) => /error|ERR!/.test(line)) ?? "nothing";
  return new SetupProblem("network", `npm could not fetch ${what}; it said: ${said.trim()}`);
}

/** The path of the checked archive in the cache's downloads. */
export async function fetchNpmPackage(
  pinned: PinnedPackage,
  context: FetchContext,
): Promise<string> {
  const what = `${pinned.package} ${pinned.version}`;
  return fetchPinned({ ...pinned, label: what }, context, async (folder) => {
    const { env, signal } = context;
    const npm = await findNpm({ env, signal });
    const command = [
      ...npm.command,
      "pack",
      `${pinned.package}@${pinned.version}`,
      "--ignore-scripts",
      "--no-update-notifier",
      // npm's half-made files must lie where a later set-up finds and removes them.
      `--cache=${join(folder, "npm-cache")}`,
    ];
    const result = await runGuarded(command, { env, signal, folder });
    if (result.status !== 0) throw explainNpmFailure(what, result.stderr, context.cache);
  });
}
