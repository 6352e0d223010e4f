/**
 * The asking side of a command, for `coordinator control`: one request, one answer.
 */
import { randomUUID } from "node:crypto";
import { connect, type NatsConnection } from "nats";
import {
  connectionOptionsOf,
  describeNatsAddress,
  parseNatsAddress,
} from "../../foundation/nats/nats-address.ts";
import { commandSubject, type ControlVerb } from "../../proto/subjects.ts";
import { answerSchema, type CommandAnswer } from "./command.ts";

/** What to ask of which run. */
export interface ControlRequest {
  /** `nats://…`; the flag named in errors is `--nats`. */
  readonly url: string;
  readonly run: string;
  readonly verb: ControlVerb;
  /** The learning rate, for `set-learning-rate`. */
  readonly value?: number;
  /** Names the command, so that asking again does not do it again; random by default. */
  readonly id?: string;
  /** Time for the answer in milliseconds; 10 s by default. */
  readonly timeoutMs?: number;
}

const answerMs = 10_000;
const connectMs = 5_000;

function nobodyListens(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "503";
}

async function ask(connection: NatsConnection, request: ControlRequest): Promise<CommandAnswer> {
  const body = {
    id: request.id ?? randomUUID(),
    ...(request.value === undefined ? {} : { value: request.value }),
  };
  const subject = commandSubject(request.run, request.verb);
  const reply = await connection.request(subject, JSON.stringify(body), {
    timeout: request.timeoutMs ?? answerMs,
  });
  return answerSchema.parse(JSON.parse(reply.string()));
}

/**
 * Sends a command and resolves with the run's answer, a refusal included. Throws an Error in plain words when the server
 * cannot be reached, nobody leads that run, or no answer comes in time.
 */
export async function sendControl(request: ControlRequest): Promise<CommandAnswer> {
  const address = parseNatsAddress(request.url);
  const where = describeNatsAddress(address);
  let connection: NatsConnection;
  try {
    connection = await connect({
      ...connectionOptionsOf(address),
      name: "ringmaster control",
      reconnect: false,
      timeout: connectMs,
    });
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot reach NATS at ${where}: ${words}`, { cause });
  }
  try {
    return await ask(connection, request);
  } catch (cause) {
    const words = nobodyListens(cause)
      ? "no coordinator leads a run of that name there"
      : cause instanceof Error
        ? cause.message
        : String(cause);
    throw new Error(`Cannot ask the run ${request.run} at ${where}: ${words}`, { cause });
  } finally {
    await connection.close();
  }
}
