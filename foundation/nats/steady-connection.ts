/**
 * A connection to NATS that is never given up: coordinator and workers go on without the server, and are told when it
 * comes and goes. nats.js itself stops trying after a refused first connection and after two refused logins; the loop
 * here begins again.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { connect, Events, type NatsConnection } from "nats";
import { connectionOptionsOf, type NatsAddress } from "./nats-address.ts";

/** What is known of the server. */
export type NatsState =
  | { readonly kind: "connected"; readonly connection: NatsConnection }
  | { readonly kind: "away"; readonly reason: string };

/** How to keep connected. */
export interface SteadyConnectionOptions {
  readonly address: NatsAddress;
  /** Name of this client, as the server lists it. */
  readonly name: string;
  /**
   * Told of every change, in order. A connection that came back is the same object with its subscriptions restored; after
   * a longer absence it may be a new one without any.
   */
  readonly onState: (state: NatsState) => void;
}

/** Ends the connection. */
export interface SteadyConnection {
  /** Sends what is buffered if the server is there, then closes. Never throws. */
  close(): Promise<void>;
}

/** Interval of pings in milliseconds: a server that answers two of them not is away (nats.js waits for four minutes). */
const pingIntervalMs = 2_000;
const pingsUnansweredMax = 2;
/** Wait between two attempts to connect, in milliseconds, and the time that one may take. */
const reconnectWaitMs = 250;
const connectTimeoutMs = 5_000;
/** How long a close waits for buffered messages to leave, in milliseconds. */
const drainMs = 1_000;

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function followStatus(
  connection: NatsConnection,
  onState: (state: NatsState) => void,
): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === Events.Disconnect) onState({ kind: "away", reason: "disconnected" });
    if (status.type === Events.Reconnect) onState({ kind: "connected", connection });
  }
}

/** One connection from its first success to its end. */
async function live(
  connection: NatsConnection,
  onState: (state: NatsState) => void,
): Promise<void> {
  onState({ kind: "connected", connection });
  // Not awaited: nats.js does not end this iterator when the connection is closed.
  void followStatus(connection, onState);
  const ended = await connection.closed();
  onState({ kind: "away", reason: ended === undefined ? "closed" : messageOf(ended) });
}

async function closeGently(connection: NatsConnection): Promise<void> {
  const timer = new AbortController();
  try {
    await Promise.race([
      connection.drain(),
      sleep(drainMs, undefined, { signal: timer.signal }).catch(() => undefined),
    ]);
  } catch {
    // Not connected: there is nobody to send to.
  } finally {
    timer.abort();
    await connection.close().catch(() => undefined);
  }
}

/** Starts to connect in the background; returns at once. */
export function keepConnected(options: SteadyConnectionOptions): SteadyConnection {
  const ending = new AbortController();
  let current: NatsConnection | null = null;
  const report = (state: NatsState): void => {
    if (!ending.signal.aborted) options.onState(state);
  };
  const loop = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      try {
        current = await connect({
          ...connectionOptionsOf(options.address),
          name: options.name,
          maxReconnectAttempts: -1,
          reconnectTimeWait: reconnectWaitMs,
          pingInterval: pingIntervalMs,
          maxPingOut: pingsUnansweredMax,
          timeout: connectTimeoutMs,
        });
        if (ending.signal.aborted) await closeGently(current);
        else await live(current, report);
      } catch (error) {
        report({ kind: "away", reason: messageOf(error) });
      }
      current = null;
      await sleep(reconnectWaitMs, undefined, { signal: ending.signal }).catch(() => undefined);
    }
  };
  const running = loop();
  return {
    async close() {
      ending.abort();
      if (current !== null) await closeGently(current);
      await running;
    },
  };
}
