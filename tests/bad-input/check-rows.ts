/** Turns a table of wrong inputs into tests: each runs the real program and must be refused in one clear line. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runProgram, type ProgramRun } from "../support/one-shot.ts";

/** One wrong input. */
export interface BadInputRow extends ProgramRun {
  readonly name: string;
  /** What the one line must say, each of it. */
  readonly says: readonly (string | RegExp)[];
}

/** Programs that run side by side; the suite as a whole has two cores. */
const concurrency = 2;

/** Registers a test per row: exit code 2, one line on stderr with all of `says`, nothing written. */
export function checkRows(title: string, rows: readonly BadInputRow[]): void {
  describe(title, { concurrency }, () => {
    for (const row of rows) {
      it(row.name, async () => {
        const { code, stderr, written } = await runProgram(row);
        assert.equal(code, 2, stderr);
        assert.match(stderr, /^coordinator: [^\n]+\n$/, "one line, no stack");
        for (const part of row.says) {
          if (typeof part === "string") assert.ok(stderr.includes(part), `${part} in: ${stderr}`);
          else assert.match(stderr, part);
        }
        assert.deepEqual(written, [], "nothing is written");
      });
    }
  });
}
