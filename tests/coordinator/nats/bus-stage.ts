/**
 * What tests of the bus have in common: a run's bus on a real server, clients, waiting for something to come true.
 */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { AckPolicy, connect, DeliverPolicy, type NatsConnection } from "nats";
import { connectBus, type Bus } from "../../../coordinator/nats/bus.ts";
import { eventOf, type CloudEvent } from "../../../coordinator/nats/cloud-event.ts";
import type { NatsServer } from "../../../coordinator/nats/nats-server.ts";
import { connectionOptionsOf, parseNatsAddress } from "../../../foundation/nats/nats-address.ts";
import { eventStream } from "../../../proto/subjects.ts";
import { startTestServer } from "./nats-servers.ts";

/** The run of the tests; its name is no subject token as it is. */
export const run = "mrpc-2026.01.01";

/** Waits until something holds; fails when it does not come true. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let looks = 0; looks < 3_000; looks += 1) {
    if (await holds()) return;
    await sleep(10);
  }
  assert.fail(`never came true: ${what}`);
}

/** An event of a step. */
export function step(number: number): ReturnType<typeof eventOf> {
  return eventOf({ case: "stepCommitted", value: { step: BigInt(number), loss: 1 / number } });
}

/** A bus; what it says goes into `lines`. Closed after the test. */
export function busAt(t: TestContext, url: string, lines: string[] = []): Bus {
  const bus = connectBus({ url, run, now: () => new Date(0), say: (line) => lines.push(line) });
  t.after(() => bus.close());
  return bus;
}

/** A server of the run's own, stopped after the test. */
export async function serverOf(
  t: TestContext,
  file: string | null,
  lines: string[] = [],
): Promise<NatsServer> {
  assert.ok(file, "the server is not installed");
  const server = await startTestServer(file, (line) => lines.push(line));
  t.after(() => server.stop());
  return server;
}

/** A client with the credentials of a URL, closed after the test. */
export async function clientAt(t: TestContext, url: string): Promise<NatsConnection> {
  const connection = await connect(connectionOptionsOf(parseNatsAddress(url)));
  t.after(() => connection.close());
  return connection;
}

/** Replays all events that the server keeps of a run, in its order, as any client may. */
export async function replay(
  connection: NatsConnection,
  ofRun: string = run,
): Promise<readonly CloudEvent[]> {
  const stream = eventStream(ofRun);
  const manager = await connection.jetstreamManager();
  const { state } = await manager.streams.info(stream);
  const { name } = await manager.consumers.add(stream, {
    ack_policy: AckPolicy.None,
    deliver_policy: DeliverPolicy.All,
  });
  const consumer = await connection.jetstream().consumers.get(stream, name);
  const events: CloudEvent[] = [];
  while (events.length < state.messages) {
    const max_messages = Math.min(500, state.messages - events.length);
    for await (const message of await consumer.fetch({ max_messages, expires: 5_000 })) {
      events.push(message.json<CloudEvent>());
    }
  }
  return events;
}

/** 1, 2, … count. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

/** The numbers of events. */
export function sequences(events: readonly CloudEvent[]): number[] {
  return events.map((event) => Number(event.sequence));
}
