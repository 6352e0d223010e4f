/** Goal: the guide's table of what a recorded program holds is what is recorded. Method: MiniLM's gradient program, counted after each pass. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { programs } from "../../parity/engine-under-test.ts";
import { bertConfigJson, bertShapes } from "../../bench/support/random-bert.ts";
import { deviceUnderTest } from "../../support/engine-under-test.ts";
import { countOps, gradientProgram } from "../../support/recorded-programs.ts";

const guide = readFileSync(new URL("../../../docs/engine.md", import.meta.url), "utf8");

/** The passes after which the table counts. */
const counted = [
  "recorded",
  "lookUpWhole",
  "removeUnusedNodes",
  "mergeEqualNodes",
  "orderGradients",
];

/** Rows of the table: the ops that it counts, or words for them, and its numbers. */
function rowsOfGuide(): readonly {
  readonly ops: readonly string[];
  readonly numbers: readonly number[];
}[] {
  const [, table = ""] = guide.split("| of MiniLM's gradient program |");
  const lines = table.split("\n").slice(2);
  return lines.slice(0, lines.indexOf("")).map((line) => {
    const [, name = "", ...cells] = line.split("|").map((cell) => cell.trim());
    const numbers = cells.slice(0, counted.length).map((cell) => Number(cell.replace(",", "")));
    return { ops: name.replaceAll("`", "").split(", "), numbers };
  });
}

const ours = /^Ringmaster(?!Product$)/u;

describe("the guide's table", { skip: deviceUnderTest === "gpu" && "kernels are a CPU's" }, () => {
  it("counts what is recorded, and leaves out no op of the finished program", async () => {
    const shape = bertShapes["minilm"];
    assert.ok(shape !== undefined);
    const configJson = bertConfigJson(shape, 0.1);
    const steps = await gradientProgram({ ...programs(configJson, 8, 128), packed: true });
    const found = counted.map((name) => {
      const step = steps.find(({ after }) => after === name);
      assert.ok(step !== undefined, name);
      return countOps(step.recording);
    });
    const sumWhere = (is: (op: string) => boolean): readonly number[] =>
      found.map((counts) =>
        [...counts].filter(([op]) => is(op)).reduce((sum, [, count]) => sum + count, 0),
      );
    const rows = rowsOfGuide();
    const named = new Set(rows.flatMap(({ ops }) => ops));
    const words: Readonly<Record<string, (op: string) => boolean>> = {
      all: () => true,
      "kernels of our own": (op) => ours.test(op),
      others: (op) => !named.has(op) && !ours.test(op),
    };
    for (const { ops, numbers } of rows) {
      const [first = ""] = ops;
      assert.deepEqual(numbers, sumWhere(words[first] ?? ((op) => ops.includes(op))), first);
    }
    assert.equal(rows.find(({ ops }) => ops.includes("others"))?.numbers.at(-1), 0);
  });
});
