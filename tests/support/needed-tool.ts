/**
 * Tests that need a tool which is not everywhere skip by its name; where CI=true they run all the same and fail, so that
 * nothing is left untested unnoticed.
 */
import { spawnSync } from "node:child_process";

/** The value of a test's `skip` option: false when the tool is there or CI wants the failure, else the reason. */
export function skipWithout(found: boolean, what: string): string | false {
  return found || process.env["CI"] === "true" ? false : `${what} is not there`;
}

/** Whether a program can be started with these arguments and succeeds. */
export function works(program: string, args: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: "ignore" }).status === 0;
}
