/**
 * What only means something while a run goes on (the control address, the store of its nats-server, what was being
 * written aside) is gone after it, also when the coordinator is killed: a few lines of `sh` wait at the end of a pipe whose other end only the coordinator has,
 * and then remove what still bears the mark of this start. What a later start has put in its place stays.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";

/**
 * `$1` is the folder, `$2` the mark, the rest pairs: a file that must hold the mark, and the pattern of what is then
 * removed. A process that is named in a `.pid` file within gets five seconds to leave first, for it would write again.
 * Without separators a pattern is expanded and never split.
 */
const janitorScript = `
folder=$1; mark=$2; shift 2
IFS=
read -r never
cd "$folder" || exit 0
while [ "$#" -gt 1 ]; do
  if grep -qF -e "$mark" "$1"; then
    for file in $2/*.pid; do
      [ -f "$file" ] || continue
      process=$(cat "$file"); tenths=50
      while [ "$tenths" -gt 0 ] && kill -0 "$process"; do sleep 0.1; tenths=$((tenths - 1)); done
    done
    rm -rf -- $2
  fi
  shift 2
done
`;

/** What is removed once the coordinator is gone. */
export interface Litter {
  /** Holds the mark while the rest is of this start. Relative to the folder. */
  readonly markedFile: string;
  /** Files or folders to remove, as a pattern of the shell. Relative to the folder. */
  readonly pattern: string;
}

/** Keeps watch over a folder until it is closed, or the coordinator dies; gives the closer. Never throws. */
export function watchOver(
  folder: string,
  mark: string,
  litter: readonly Litter[],
): () => Promise<void> {
  const pairs = litter.flatMap(({ markedFile, pattern }) => [markedFile, pattern]);
  const args = ["-c", janitorScript, "janitor", resolve(folder), mark, ...pairs];
  const child = spawn("/bin/sh", args, { detached: true, stdio: ["pipe", "ignore", "ignore"] });
  const ended = once(child, "exit").catch(() => undefined);
  // It is never written to; a janitor that was killed resets it.
  child.stdin.on("error", () => undefined);
  return async () => {
    child.stdin.destroy();
    await ended;
  };
}
