/**
 * Where events go once they reach NATS: into a JetStream stream of the run, which keeps them for replay and drops what
 * comes twice; on a server without JetStream to whoever listens at the moment.
 */
import {
  DiscardPolicy,
  headers,
  nanos,
  NatsError,
  RetentionPolicy,
  StorageType,
  type JetStreamManager,
  type NatsConnection,
} from "nats";
import { eventStream, eventSubject } from "../../proto/subjects.ts";
import type { WaitingEvent } from "./event-queue.ts";

/** A way to hand events over. */
export interface EventStore {
  readonly kind: "jetstream" | "core";
  /** One line for a person when the history is not kept, otherwise null. */
  readonly remark: string | null;
  /** Resolves once the server has taken the event; an event that it has already is taken silently. */
  put(waiting: WaitingEvent): Promise<void>;
  /** Id of the newest event that the server has, or null. */
  lastId(): Promise<string | null>;
}

/** Bytes of history kept per run; the oldest go first. */
const streamBytesMax = 256 * 1024 * 1024;
/** Time within which the server knows an event's id again, in milliseconds. */
const duplicateWindowMs = 60 * 60 * 1000;
/** Time that the server has to answer, in milliseconds. */
const answerMs = 5_000;
/** JetStream's code for a stream that has our subjects under another name. */
const subjectsOverlap = 10065;
const messageNotFound = 10037;

function apiCode(error: unknown): number | undefined {
  return error instanceof NatsError ? error.api_error?.err_code : undefined;
}

/** Whether an error says that this server will never keep events for us, rather than that it is busy or away. */
function refusesHistory(error: unknown, connection: NatsConnection): boolean {
  if (!(error instanceof NatsError)) return false;
  // Nobody answers: JetStream is off, or the server has only just come back and is reading its store.
  if (error.code === "503" && error.api_error === undefined) {
    return connection.info?.jetstream !== true;
  }
  if (error.isPermissionError()) return true;
  // 10039: JetStream is off for the account; 10076: for the server; 10047, 10028: no storage left for a stream.
  return [10039, 10076, 10047, 10028, 10023].includes(error.api_error?.err_code ?? 0);
}

function dataOf(waiting: WaitingEvent): string {
  return JSON.stringify(waiting.event);
}

async function ensureStream(manager: JetStreamManager, run: string): Promise<string> {
  const name = eventStream(run);
  const subject = eventSubject(run, ">");
  try {
    await manager.streams.info(name);
    return name;
  } catch (error) {
    if (!(error instanceof NatsError) || error.api_error?.code !== 404) throw error;
  }
  try {
    await manager.streams.add({
      name,
      subjects: [subject],
      description: `Events of the run ${run}`,
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      discard: DiscardPolicy.Old,
      max_bytes: streamBytesMax,
      duplicate_window: nanos(duplicateWindowMs),
    });
    return name;
  } catch (error) {
    if (apiCode(error) !== subjectsOverlap) throw error;
    return await manager.streams.find(subject);
  }
}

function coreStore(connection: NatsConnection, run: string, reason: string): EventStore {
  return {
    kind: "core",
    remark: `NATS keeps no history of this run's events (${reason}); they go to listeners only`,
    async put(waiting) {
      const head = headers();
      head.set("Nats-Msg-Id", waiting.event.id);
      connection.publish(eventSubject(run, waiting.kind), dataOf(waiting), { headers: head });
      await connection.flush();
    },
    lastId: () => Promise.resolve(null),
  };
}

/**
 * Finds out what the server can do and makes the stream if it is missing. Throws when the server does not answer or says
 * something transient: the caller tries again.
 */
export async function openEventStore(connection: NatsConnection, run: string): Promise<EventStore> {
  let manager: JetStreamManager;
  let stream: string;
  try {
    manager = await connection.jetstreamManager({ timeout: answerMs });
    stream = await ensureStream(manager, run);
  } catch (error) {
    if (!refusesHistory(error, connection)) throw error;
    const words = error instanceof Error ? error.message : String(error);
    const reason = words === "503" ? "its JetStream is off" : words;
    return coreStore(connection, run, reason);
  }
  const jetstream = connection.jetstream({ timeout: answerMs });
  const all = eventSubject(run, ">");
  return {
    kind: "jetstream",
    remark: null,
    async put(waiting) {
      await jetstream.publish(eventSubject(run, waiting.kind), dataOf(waiting), {
        msgID: waiting.event.id,
        timeout: answerMs,
      });
    },
    async lastId() {
      try {
        const last = await manager.streams.getMessage(stream, { last_by_subj: all });
        return last.header.get("Nats-Msg-Id");
      } catch (error) {
        if (apiCode(error) === messageNotFound) return null;
        throw error;
      }
    },
  };
}
