/**
 * The bus against real servers: events survive an outage in order and once, commands are checked, answered and broadcast.
 */
import assert from "node:assert/strict";
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { AckPolicy, connect, DeliverPolicy, type NatsConnection } from "nats";
import { connectBus, type Bus } from "../../../coordinator/nats/bus.ts";
import { eventOf, type CloudEvent } from "../../../coordinator/nats/cloud-event.ts";
import { sendControl } from "../../../coordinator/nats/control-client.ts";
import type { NatsServer } from "../../../coordinator/nats/nats-server.ts";
import { connectionOptionsOf, parseNatsAddress } from "../../../foundation/nats/nats-address.ts";
import { controlSubject, eventStream } from "../../../proto/subjects.ts";
import { skipWithout } from "../../support/needed-tool.ts";
import { natsFolder, natsPrograms, startTestServer } from "./nats-servers.ts";

const run = "mrpc-2026.01.01";

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let looks = 0; looks < 3_000; looks += 1) {
    if (await holds()) return;
    await sleep(10);
  }
  assert.fail(`never came true: ${what}`);
}

function step(number: number): ReturnType<typeof eventOf> {
  return eventOf({ case: "stepCommitted", value: { step: BigInt(number), loss: 1 / number } });
}

function busAt(url: string, lines: string[] = []): Bus {
  return connectBus({ url, run, now: () => new Date(0), say: (line) => lines.push(line) });
}

async function client(t: TestContext, url: string): Promise<NatsConnection> {
  const connection = await connect(connectionOptionsOf(parseNatsAddress(url)));
  t.after(() => connection.close());
  return connection;
}

/** Replays the whole history, as any client may. */
async function history(connection: NatsConnection): Promise<CloudEvent[]> {
  const manager = await connection.jetstreamManager();
  const stream = eventStream(run);
  const { state } = await manager.streams.info(stream);
  const consumer = await manager.consumers.add(stream, {
    ack_policy: AckPolicy.None,
    deliver_policy: DeliverPolicy.All,
  });
  const events: CloudEvent[] = [];
  if (state.messages === 0) return events;
  const replay = await connection.jetstream().consumers.get(stream, consumer.name);
  for await (const message of await replay.fetch({ max_messages: state.messages })) {
    events.push(message.json<CloudEvent>());
    if (events.length === state.messages) break;
  }
  return events;
}

function sequences(events: readonly CloudEvent[]): number[] {
  return events.map((event) => Number(event.sequence));
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

for (const program of await natsPrograms()) {
  const { file } = program;
  const options = { skip: skipWithout(file !== null, program.name) };

  describe(`bus on ${program.name}`, options, () => {
    async function started(t: TestContext, lines: string[] = []): Promise<NatsServer> {
      assert.ok(file);
      const server = await startTestServer(file, (line) => lines.push(line));
      t.after(() => server.stop());
      return server;
    }

    it("keeps events of an outage, in order and without duplicates", async (t) => {
      const lines: string[] = [];
      const server = await started(t, lines);
      const bus = busAt(server.url, lines);
      t.after(() => bus.close());
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

      const events = await history(await client(t, server.operatorUrl));
      assert.deepEqual(sequences(events), upTo(80));
      assert.deepEqual(
        events.map(({ data }) => data["step"]),
        upTo(80).map(String),
      );
      assert.ok(lines.some((line) => line.includes("nats-server died (SIGKILL)")));
      assert.ok(lines.some((line) => line.endsWith("is back")));
    });

    it("sends an event once though its acknowledgement was lost", async (t) => {
      const server = await started(t);
      const bus = busAt(server.url);
      t.after(() => bus.close());
      // Every few events the connection breaks while some are on their way.
      for (const number of upTo(3)) {
        for (const offset of upTo(70)) bus.publish(step((number - 1) * 70 + offset));
        await sleep(3);
        process.kill(await server.pid(), "SIGKILL");
        await until("the outage is noticed", () => !bus.state.connected);
        await until("the server is back", () => bus.state.connected);
      }
      await until("all events are stored", () => bus.state.eventsWaiting === 0);
      const events = await history(await client(t, server.operatorUrl));
      assert.deepEqual(sequences(events), upTo(210));
    });

    it("answers commands and broadcasts accepted ones once", async (t) => {
      const server = await started(t);
      const bus = busAt(server.url);
      t.after(() => bus.close());
      const worker = await client(t, server.workerUrl);
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
      const server = await started(t);
      const bus = busAt(server.url);
      t.after(() => bus.close());
      bus.onCommand(() => Promise.resolve({ accepted: true, step: 1 }));
      await until("the bus is connected", () => bus.state.connected);
      const operator = await client(t, server.operatorUrl);
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

    it("lets each party do its part only", async (t) => {
      const server = await started(t);
      const seen: string[] = [];
      const spy = await client(t, server.url);
      spy.subscribe("ringmaster.>", { callback: (_error, { subject }) => seen.push(subject) });
      await spy.flush();
      const worker = await client(t, server.workerUrl);
      worker.publish("ringmaster.x.command.stop");
      worker.publish("ringmaster.x.control");
      await worker.flush();
      const operator = await client(t, server.operatorUrl);
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
      const server = await started(t);
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

    it("publishes to listeners on a foreign server without JetStream, and says so", async (t) => {
      assert.ok(file);
      const folder = await natsFolder();
      const port = await freePort();
      await writeFile(join(folder, "plain.conf"), `host: 127.0.0.1, port: ${port}`);
      const foreign: ChildProcess = spawn(file, ["-c", join(folder, "plain.conf")]);
      const url = `nats://127.0.0.1:${port}`;
      t.after(async () => {
        foreign.kill("SIGKILL");
        await rm(folder, { recursive: true, force: true });
      });
      const lines: string[] = [];
      const bus = busAt(url, lines);
      t.after(() => bus.close());
      await until("the bus is connected", () => bus.state.connected);
      const listener = await client(t, url);
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

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  await new Promise((resolve) => server.close(resolve));
  return address.port;
}

describe("bus without a server", () => {
  it("keeps events, says so once, and closes without waiting", async () => {
    const lines: string[] = [];
    const bus = busAt(`nats://127.0.0.1:${await freePort()}`, lines);
    for (const number of upTo(5)) bus.publish(step(number));
    await until("the absence is said", () => lines.length > 0);
    await sleep(700);
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", /is away .*training goes on, events are kept/);
    assert.equal(bus.state.eventsWaiting, 5);
    await bus.close();
  });

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
