/**
 * Commands on real servers: checked, decided once, answered, broadcast to workers.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sendControl } from "../../../coordinator/nats/control-client.ts";
import { controlSubject } from "../../../proto/subjects.ts";
import { skipWithout } from "../../support/needed-tool.ts";
import { freePort } from "../../support/prometheus.ts";
import { busAt, clientAt, run, serverOf, until } from "./bus-stage.ts";
import { natsPrograms } from "./nats-servers.ts";

for (const { name, file } of await natsPrograms()) {
  describe(`commands on ${name}`, { skip: skipWithout(file !== null, name) }, () => {
    it("answers commands and broadcasts accepted ones once", async (t) => {
      const server = await serverOf(t, file);
      const bus = busAt(t, server.url);
      const worker = await clientAt(t, server.workerUrl);
      const heard: unknown[] = [];
      worker.subscribe(controlSubject(run), {
        callback: (_error, message) => heard.push(message.json()),
      });
      await worker.flush();
      await until("the bus is connected", () => bus.state.connected);
      const ask = { url: server.operatorUrl, run };

      assert.deepEqual(await sendControl({ ...ask, verb: "pause" }), {
        accepted: false,
        verb: "pause",
        reason: "the run has not started yet",
      });
      const decided: string[] = [];
      bus.onCommand((command) => {
        decided.push(command.verb);
        return Promise.resolve(
          command.verb === "stop"
            ? { accepted: false, reason: "the run is over" }
            : { accepted: true, step: 12 },
        );
      });
      const request = { ...ask, verb: "set-learning-rate", value: 3e-5, id: "once" } as const;
      const answer = {
        accepted: true,
        id: "once",
        verb: "set-learning-rate",
        step: 12,
        value: 3e-5,
      };
      assert.deepEqual(await sendControl(request), answer);
      assert.deepEqual(await sendControl(request), answer, "the same id, the same answer");
      assert.deepEqual(await sendControl({ ...ask, verb: "stop" }), {
        accepted: false,
        verb: "stop",
        reason: "the run is over",
      });
      assert.deepEqual(decided, ["set-learning-rate", "stop"]);
      await until("the worker hears of it", () => heard.length > 0);
      assert.deepEqual(heard, [{ id: "once", verb: "set-learning-rate", step: "12", value: 3e-5 }]);
    });

    it("refuses what no command is, whatever client sends it", async (t) => {
      const server = await serverOf(t, file);
      const bus = busAt(t, server.url);
      bus.onCommand(() => Promise.resolve({ accepted: true, step: 1 }));
      await until("the bus is connected", () => bus.state.connected);
      const operator = await clientAt(t, server.operatorUrl);
      const prefix = "ringmaster.mrpc-2026_01_01.command";
      await until("the bus serves commands", async () => {
        const reply = await operator.request(`${prefix}.pause`).catch(() => null);
        return reply?.json<{ accepted: boolean }>().accepted ?? false;
      });
      const rows: [verb: string, payload: string, reason: RegExp][] = [
        ["dance", "", /^no such command; there are pause, resume/],
        ["pause", `{"value": 1}`, /^value: expected none for pause, found 1$/],
        ["pause", "{", /^expected JSON/],
        ["pause", "[1]", /expected object/],
        ["pause", `{"step": 3}`, /step/],
        ["set-learning-rate", "", /expected the new learning rate, found none/],
        ["set-learning-rate", `{"value": -1}`, /from 0 to 1, found -1/],
        ["set-learning-rate", `{"value": "1e-5"}`, /^value: /],
        ["pause", `{"id": "a b"}`, /^id: at most 64/],
        ["pause", `{"id": "${"x".repeat(5000)}"}`, /^expected at most 4096 bytes/],
      ];
      for (const [verb, payload, reason] of rows) {
        const reply = await operator.request(`${prefix}.${verb}`, payload);
        const answer = reply.json<{ accepted: boolean; reason: string }>();
        assert.equal(answer.accepted, false, `${verb} ${payload}`);
        assert.match(answer.reason, reason);
      }
    });
  });
}

describe("a command without a server", () => {
  it("tells a client in plain words that nobody is there", async () => {
    const port = await freePort();
    await assert.rejects(
      sendControl({ url: `nats://user:secret@127.0.0.1:${port}`, run, verb: "pause" }),
      (error: Error) =>
        error.message.startsWith(`Cannot reach NATS at nats://127.0.0.1:${port}: `) &&
        !error.message.includes("secret"),
    );
  });
});
