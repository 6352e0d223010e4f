/** Where everything lies that is fetched or built once and shared by all checkouts: native parts, models, data sets. */
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/**
 * The cache folder: `RINGMASTER_CACHE`, or the per-user cache (`$XDG_CACHE_HOME/ringmaster`, `~/.cache/ringmaster`; on
 * macOS `~/Library/Caches/ringmaster`). An empty variable counts as unset; the folder need not exist.
 */
export function cacheFolder(env: NodeJS.ProcessEnv): string {
  const chosen = env["RINGMASTER_CACHE"];
  if (chosen !== undefined && chosen !== "") return resolve(chosen);
  const home = env["HOME"] || homedir();
  if (process.platform === "darwin") return join(home, "Library", "Caches", "ringmaster");
  return join(env["XDG_CACHE_HOME"] || join(home, ".cache"), "ringmaster");
}
