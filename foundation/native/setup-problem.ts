/**
 * What can be wrong with the machine that a set-up runs on, each with what to do about it. Such a problem is no mistake
 * in the user's input: programs print its one-line message without a stack and exit with code 1.
 */

/** What is wrong; tests and `doctor` branch on it. */
export type SetupProblemKind =
  | "node"
  | "python"
  | "npm"
  | "compiler"
  | "platform"
  | "network"
  | "disk"
  | "not-offered"
  | "wrong-hash"
  | "build"
  | "load";

/** The machine lacks something that a set-up needs. The message is one line: what, and the remedy. */
export class SetupProblem extends Error {
  override readonly name = "SetupProblem";
  readonly kind: SetupProblemKind;
  constructor(kind: SetupProblemKind, message: string, remedy?: string) {
    super(remedy === undefined ? message : `${message} (${remedy})`);
    this.kind = kind;
  }
}

/** How to install something, per system. */
export interface Remedies {
  readonly debian: string;
  readonly fedora: string;
  readonly macos: string;
}

/** One line that names the command for each system. */
export function describeRemedies(remedies: Remedies): string {
  return `Debian, Ubuntu: ${remedies.debian}; Fedora: ${remedies.fedora}; macOS: ${remedies.macos}`;
}

const unwritableCodes = new Set(["EACCES", "EROFS", "EPERM", "ENOTDIR", "EEXIST"]);

/** The set-up's own words for a failed write, or the error as it came. */
export function translateDiskError(error: unknown, folder: string): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOSPC" || code === "EDQUOT") return diskFull(folder);
  if (typeof code === "string" && unwritableCodes.has(code)) {
    return new SetupProblem(
      "disk",
      `the cache folder ${folder} cannot be written`,
      "set RINGMASTER_CACHE to a folder of yours",
    );
  }
  return error;
}

/** The disk that holds the cache folder is full. */
export function diskFull(folder: string): SetupProblem {
  return new SetupProblem(
    "disk",
    `no space left on the disk of the cache folder ${folder}`,
    "free some, or set RINGMASTER_CACHE to a folder on another disk; the next set-up goes on from here",
  );
}
