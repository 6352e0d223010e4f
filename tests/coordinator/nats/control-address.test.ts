/** The file by which the control command finds a run. */
import assert from "node:assert/strict";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import {
  controlAddressFile,
  readControlAddress,
  removeControlAddress,
  writeControlAddress,
} from "../../../coordinator/nats/control-address.ts";
import { BadInput } from "../../../foundation/bad-input.ts";

it("the control address is read back, private, and gone after the run", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "ringmaster-control-"));
  t.after(() => rm(folder, { recursive: true }));
  const address = { url: "nats://operator:secret@127.0.0.1:1", run: "r" };
  const file = join(folder, controlAddressFile);
  await writeFile(file, "stale", { mode: 0o644 });
  await writeControlAddress(folder, address, "a-start");
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.deepEqual(await readControlAddress(folder), address);
  await writeFile(file, "{}");
  await assert.rejects(readControlAddress(folder), BadInput);
  await removeControlAddress(folder);
  await removeControlAddress(folder);
  await assert.rejects(readControlAddress(folder), /expected the address of a run that goes on/);
});
