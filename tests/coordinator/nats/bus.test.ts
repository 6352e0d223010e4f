/**
 * Events on real servers: they survive an outage in order and once, and go to listeners where no history is kept.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { CloudEvent } from "../../../coordinator/nats/cloud-event.ts";
import { skipWithout } from "../../support/needed-tool.ts";
import { freePort } from "../../support/prometheus.ts";
import { busAt, clientAt, replay, sequences, serverOf, step, until, upTo } from "./bus-stage.ts";
import { natsPrograms, startForeignServer } from "./nats-servers.ts";

for (const { name, file } of await natsPrograms()) {
  describe(`events on ${name}`, { skip: skipWithout(file !== null, name) }, () => {
    it("keeps events of an outage, in order and without duplicates", async (t) => {
      const lines: string[] = [];
      const server = await serverOf(t, file, lines);
      const bus = busAt(t, server.url, lines);
      for (const number of upTo(20)) bus.publish(step(number));
      await until("the first events are stored", () => bus.state.eventsWaiting === 0);
      assert.equal(bus.state.history, "jetstream");

      process.kill(await server.pid(), "SIGKILL");
      for (const number of upTo(30)) bus.publish(step(20 + number));
      await until("the outage is noticed", () => !bus.state.connected);
      for (const number of upTo(30)) bus.publish(step(50 + number));
      assert.ok(bus.state.eventsWaiting >= 60, "events of the outage are kept");
      await until("the server is back", () => bus.state.connected);
      await until("all events are stored", () => bus.state.eventsWaiting === 0);

      const events = await replay(await clientAt(t, server.operatorUrl));
      assert.deepEqual(sequences(events), upTo(80));
      assert.deepEqual(
        events.map(({ data }) => data["step"]),
        upTo(80).map(String),
      );
      assert.ok(lines.some((line) => line.includes("nats-server died (SIGKILL)")));
      assert.ok(lines.some((line) => line.endsWith("is back")));
    });

    it("sends an event once though its acknowledgement was lost", async (t) => {
      const server = await serverOf(t, file);
      const bus = busAt(t, server.url);
      // Every few events the connection breaks while some are on their way.
      for (const number of upTo(3)) {
        for (const offset of upTo(70)) bus.publish(step((number - 1) * 70 + offset));
        await sleep(3);
        process.kill(await server.pid(), "SIGKILL");
        await until("the outage is noticed", () => !bus.state.connected);
        await until("the server is back", () => bus.state.connected);
      }
      await until("all events are stored", () => bus.state.eventsWaiting === 0);
      const events = await replay(await clientAt(t, server.operatorUrl));
      assert.deepEqual(sequences(events), upTo(210));
    });

    it("publishes to listeners on a foreign server without JetStream, and says so", async (t) => {
      assert.ok(file);
      const { url } = await startForeignServer(t, file, { jetstream: false });
      const lines: string[] = [];
      const bus = busAt(t, url, lines);
      await until("the bus is connected", () => bus.state.connected);
      const listener = await clientAt(t, url);
      const heard: string[] = [];
      listener.subscribe("ringmaster.*.event.>", {
        callback: (_error, message) => heard.push(message.json<CloudEvent>().sequence),
      });
      await listener.flush();
      for (const number of upTo(3)) bus.publish(step(number));
      await until("the listener hears all", () => heard.length === 3);
      assert.deepEqual(heard, ["1", "2", "3"]);
      assert.equal(bus.state.history, "core");
      assert.ok(lines.some((line) => line.includes("keeps no history")));
    });
  });
}

describe("bus without a server", () => {
  it("keeps events, says so once, and closes without waiting", async (t) => {
    const lines: string[] = [];
    const bus = busAt(t, `nats://127.0.0.1:${await freePort()}`, lines);
    for (const number of upTo(5)) bus.publish(step(number));
    await until("the absence is said", () => lines.length > 0);
    await sleep(700);
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", /is away .*training goes on, events are kept/);
    assert.equal(bus.state.eventsWaiting, 5);
    await bus.close();
  });
});
