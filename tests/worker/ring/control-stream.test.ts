/**
 * Goal: a neighbour that ends its connection, as one that leaves does, never costs a process its life, whatever node's HTTP/2 still
 * still wants to say. Method: real sockets; each case is a process of its own, because
 * what fails is an assertion within node, which no caller can catch.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const program = fileURLToPath(new URL("../../support/leaving-neighbour.ts", import.meta.url));

async function endOf(moment: string): Promise<unknown> {
  const { stdout } = await run(process.execPath, ["--import", "tsx", program, moment]);
  return JSON.parse(stdout);
}

describe("a connection that its other side ends", () => {
  for (const moment of [
    "at once",
    "a tick later",
    "a turn later",
    "when it is flushed",
    "while its own side is being shut",
  ]) {
    it(`takes what HTTP/2 says ${moment}, and is over`, async () => {
      assert.deepEqual(await endOf(moment), { isOver: true });
    });
  }
});
