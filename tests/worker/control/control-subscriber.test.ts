/** A worker hears accepted commands on a real server, before and after an outage, and nothing else. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { connectBus } from "../../../coordinator/nats/bus.ts";
import { controlSubject } from "../../../proto/subjects.ts";
import { connect } from "nats";
import { connectionOptionsOf, parseNatsAddress } from "../../../foundation/nats/nats-address.ts";
import { ControlRegistry } from "../../../worker/control/control-registry.ts";
import { subscribeControl } from "../../../worker/control/control-subscriber.ts";
import { skipWithout } from "../../support/needed-tool.ts";
import { until } from "../../coordinator/nats/bus-stage.ts";
import {
  natsPrograms,
  startForeignServer,
  startTestServer,
} from "../../coordinator/nats/nats-servers.ts";

for (const { name, file } of await natsPrograms()) {
  const options = { skip: skipWithout(file !== null, name) };

  describe(`control subscriber on ${name}`, options, () => {
    it("hears each command once, also after NATS was away", async (t) => {
      assert.ok(file);
      const server = await startForeignServer(t, file, { jetstream: false });
      const { url } = server;
      const run = "r.1";
      const bus = connectBus({ url, run, now: () => new Date(0), say: () => undefined });
      t.after(() => bus.close());
      let step = 0;
      bus.onCommand(() => Promise.resolve({ accepted: true, step: (step += 1) }));
      const registry = new ControlRegistry();
      const worker = subscribeControl({ url, run, worker: "worker-0", registry });
      t.after(() => worker.close());
      /** The server may pass a command on before it knows of a listener that has only just connected: say it again. */
      const heardOf = async (
        verb: "pause" | "set-learning-rate",
        value?: number,
      ): Promise<void> => {
        const before = registry.waiting;
        await until(`the worker hears of ${verb}`, async () => {
          await bus.command(verb, value);
          return registry.waiting > before;
        });
      };
      await until("both are connected", () => bus.state.connected && worker.connected);
      await heardOf("pause");
      await server.kill();
      await until("the outage is noticed", () => !bus.state.connected && !worker.connected);
      const missed = await bus.command("checkpoint");
      assert.equal(missed.accepted, true, "commands of the coordinator's own go on");
      server.start();
      await until("both are back", () => bus.state.connected && worker.connected);
      await heardOf("set-learning-rate", 1e-5);
      const heard = registry.takeDue(step).map(({ verb, value }) => `${verb} ${value}`);
      assert.deepEqual(new Set(heard), new Set(["pause 0", "set-learning-rate 0.00001"]));
      assert.deepEqual(registry.takeDue(step), []);
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
