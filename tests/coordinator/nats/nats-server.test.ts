/**
 * The run's own server: what each party may do, and what is left of it.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { connect } from "nats";
import { skipWithout } from "../../support/needed-tool.ts";
import { clientAt, serverOf } from "./bus-stage.ts";
import { natsPrograms } from "./nats-servers.ts";

for (const { name, file } of await natsPrograms()) {
  describe(`own server on ${name}`, { skip: skipWithout(file !== null, name) }, () => {
    it("lets each party do its part only", async (t) => {
      const server = await serverOf(t, file);
      const seen: string[] = [];
      const spy = await clientAt(t, server.url);
      spy.subscribe("ringmaster.>", { callback: (_error, { subject }) => seen.push(subject) });
      await spy.flush();
      const worker = await clientAt(t, server.workerUrl);
      worker.publish("ringmaster.x.command.stop");
      worker.publish("ringmaster.x.control");
      await worker.flush();
      const operator = await clientAt(t, server.operatorUrl);
      operator.publish("ringmaster.x.control");
      operator.publish("ringmaster.x.event.step-committed");
      operator.publish("ringmaster.x.command.stop");
      await operator.flush();
      await spy.flush();
      assert.deepEqual(seen, ["ringmaster.x.command.stop"]);
      await assert.rejects(
        connect({ servers: `127.0.0.1:${server.port}` }),
        /Authorization Violation/,
      );
    });

    it("leaves no file, keeps secrets from others and from the command line", async (t) => {
      const server = await serverOf(t, file);
      const { stdout } = await promisify(execFile)("ps", [
        "-o",
        "args=",
        "-p",
        String(await server.pid()),
      ]);
      const config = stdout.trim().split(" ").at(-1) ?? "";
      assert.equal((await stat(config)).mode & 0o777, 0o600);
      const password = new URL(server.url).password;
      assert.ok(password.length >= 32);
      assert.ok(!stdout.includes(password));
      await server.stop();
      await assert.rejects(stat(dirname(config)), { code: "ENOENT" });
    });
  });
}
