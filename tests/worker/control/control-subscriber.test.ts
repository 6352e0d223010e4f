/** A worker hears accepted commands on a real server, before and after an outage, and nothing else. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connectBus } from "../../../coordinator/nats/bus.ts";
import { controlSubject } from "../../../proto/subjects.ts";
import { connect } from "nats";
import { connectionOptionsOf, parseNatsAddress } from "../../../foundation/nats/nats-address.ts";
import { ControlRegistry } from "../../../worker/control/control-registry.ts";
import { subscribeControl } from "../../../worker/control/control-subscriber.ts";
import { skipWithout } from "../../support/needed-tool.ts";
import { natsPrograms, startTestServer } from "../../coordinator/nats/nats-servers.ts";

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let looks = 0; looks < 3_000; looks += 1) {
    if (holds()) return;
    await sleep(10);
  }
  assert.fail(`never came true: ${what}`);
}

for (const { name, file } of await natsPrograms()) {
  const options = { skip: skipWithout(file !== null, name) };

  describe(`control subscriber on ${name}`, options, () => {
    it("hears each command once, also after NATS was away", async (t) => {
      assert.ok(file);
      const server = await startTestServer(file);
      t.after(() => server.stop());
      const run = "r.1";
      const bus = connectBus({
        url: server.url,
        run,
        now: () => new Date(0),
        say: () => undefined,
      });
      t.after(() => bus.close());
      let step = 0;
      bus.onCommand(() => Promise.resolve({ accepted: true, step: (step += 1) }));
      const registry = new ControlRegistry();
      const worker = subscribeControl({ url: server.workerUrl, run, worker: "worker-0", registry });
      t.after(() => worker.close());
      await until("both are connected", () => bus.state.connected && worker.connected);

      await bus.command("pause");
      await until("the worker hears", () => registry.waiting === 1);
      process.kill(await server.pid(), "SIGKILL");
      await until("the outage is noticed", () => !bus.state.connected && !worker.connected);
      const missed = await bus.command("checkpoint");
      assert.equal(missed.accepted, true, "commands of the coordinator's own go on");
      await until("both are back", () => bus.state.connected && worker.connected);
      await bus.command("set-learning-rate", 1e-5);
      await until("the worker hears again", () => registry.waiting === 2);
      const heard = registry.takeDue(10).map(({ verb, step: at, value }) => [verb, at, value]);
      assert.deepEqual(heard, [
        ["pause", 1, 0],
        ["set-learning-rate", 3, 1e-5],
      ]);
    });

    it("lets pass what is no command", async (t) => {
      assert.ok(file);
      const server = await startTestServer(file);
      t.after(() => server.stop());
      const registry = new ControlRegistry();
      const worker = subscribeControl({ url: server.workerUrl, run: "r", worker: "w", registry });
      t.after(() => worker.close());
      const other = await connect(connectionOptionsOf(parseNatsAddress(server.url)));
      t.after(() => other.close());
      await until("the worker is connected", () => worker.connected);
      const good = `{"id":"x","verb":"pause","step":"1"}`;
      for (const text of ["", "{", "[]", `{"id":1}`, `{"step":"-1"}`, "x".repeat(9000)]) {
        other.publish(controlSubject("r"), text);
      }
      await until("the command arrives", () => {
        other.publish(controlSubject("r"), good);
        return registry.waiting > 0;
      });
      assert.deepEqual(registry.takeDue(1), [{ id: "x", verb: "pause", step: 1, value: 0 }]);
    });
  });
}
