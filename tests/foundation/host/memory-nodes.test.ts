/** Reading memory nodes as Linux describes them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { memoryNodes, numbersIn } from "../../../foundation/host/memory-nodes.ts";

const reading =
  (files: Readonly<Record<string, string>>) =>
  (file: string): string | null =>
    files[file] ?? null;

describe("memoryNodes", () => {
  const folder = "/sys/devices/system/node";

  it("names the cores of each node that this process may use", () => {
    const files = {
      "/proc/self/status": "Name:\tnode\nCpus_allowed_list:\t0-2,8,10\nMems_allowed_list:\t0-1\n",
      [`${folder}/online`]: "0-2\n",
      [`${folder}/node0/cpulist`]: "0-3\n",
      [`${folder}/node1/cpulist`]: "8-11\n",
      [`${folder}/node2/cpulist`]: "\n",
    };
    assert.deepEqual(memoryNodes(reading(files)), [
      [0, 1, 2],
      [8, 10],
    ]);
  });

  it("finds none where Linux says nothing, and this machine's otherwise", () => {
    assert.deepEqual(memoryNodes(reading({})), []);
    assert.ok(memoryNodes().every((cores) => cores.length > 0));
  });

  it("reads lists of numbers and ranges", () => {
    assert.deepEqual(numbersIn("0-3,8\n"), [0, 1, 2, 3, 8]);
    assert.deepEqual(numbersIn(""), []);
    assert.deepEqual(numbersIn(null), []);
  });
});
