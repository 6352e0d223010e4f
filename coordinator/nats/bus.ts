/**
 * The coordinator's end of NATS: events out, commands in, accepted commands on to the workers. Training never waits for it
 * and goes on without it.
 */
import { randomUUID } from "node:crypto";
import { describeNatsAddress, parseNatsAddress } from "../../foundation/nats/nats-address.ts";
import { keepConnected, type NatsState } from "../../foundation/nats/steady-connection.ts";
import type { Event } from "../../proto/gen/ringmaster/v1/event_pb.ts";
import type { ControlVerb } from "../../proto/subjects.ts";
import { cloudEventOf, kindOf, type CloudEvent } from "./cloud-event.ts";
import { CommandDesk, type CommandHandler } from "./command-desk.ts";
import type { CommandAnswer } from "./command.ts";
import { EventSender } from "./event-sender.ts";

/** What the bus needs. */
export interface BusOptions {
  /** `nats://…` with credentials. Throws BadInput naming `--nats` when it is none. */
  readonly url: string;
  readonly run: string;
  /** Sequence of the first event: 1, or on a resumed run of the same name one more than its `events.jsonl` holds. */
  readonly firstSequence?: number;
  /** The time that events carry. */
  readonly now: () => Date;
  /** Takes one line for a person: the server went, came back, keeps no history. */
  readonly say: (line: string) => void;
  /** Told of every answered command. */
  readonly onAnswer?: (answer: CommandAnswer) => void;
  /** Makes command ids; by default random UUIDs. */
  readonly newId?: () => string;
}

/** What the bus knows of itself, for metrics. */
export interface BusState {
  readonly connected: boolean;
  /** Whether the server keeps the events; null while that is unknown. */
  readonly history: "jetstream" | "core" | null;
  readonly eventsWaiting: number;
  readonly eventsDropped: number;
}

/** The coordinator's connection to NATS. */
export interface Bus {
  /** Numbers and stamps an event, queues it for NATS, and returns it as it belongs into `events.jsonl`. Never throws for want of a server. */
  publish(event: Event): CloudEvent;
  /** Sets who decides over commands; until then they are refused. */
  onCommand(handler: CommandHandler): void;
  /** Puts a command of the coordinator's own (Ctrl-C, a key) the same way: decided by the handler, broadcast to workers. */
  command(verb: ControlVerb, value?: number): Promise<CommandAnswer>;
  readonly state: BusState;
  /** Waits for queued events until `signal` (by default not at all when the server is away), then closes. */
  close(signal?: AbortSignal): Promise<void>;
}

/** How long a close waits for the last events, in milliseconds, unless told otherwise. */
const drainMs = 2_000;

/** Connects in the background and returns at once. */
export function connectBus(options: BusOptions): Bus {
  const address = parseNatsAddress(options.url);
  const where = describeNatsAddress(address);
  const sender = new EventSender({ run: options.run, say: options.say });
  const desk = new CommandDesk({
    run: options.run,
    newId: options.newId ?? randomUUID,
    onAnswer: options.onAnswer ?? (() => undefined),
    say: options.say,
  });
  let sequence = options.firstSequence ?? 1;
  let state: NatsState = { kind: "away", reason: "not tried yet" };
  let served: unknown = null;
  let saidAway = false;

  const onState = (next: NatsState): void => {
    state = next;
    if (next.kind === "connected") {
      if (served !== next.connection) desk.serve(next.connection);
      served = next.connection;
      sender.connected(next.connection);
      if (saidAway) options.say(`NATS at ${where} is back`);
      saidAway = false;
      return;
    }
    sender.away();
    if (saidAway) return;
    saidAway = true;
    options.say(`NATS at ${where} is away (${next.reason}); training goes on, events are kept`);
  };
  const link = keepConnected({ address, name: `ringmaster coordinator ${options.run}`, onState });

  return {
    publish(event) {
      const cloudEvent = cloudEventOf(event, { run: options.run, sequence, time: options.now() });
      sequence += 1;
      sender.push({ kind: kindOf(event), event: cloudEvent });
      return cloudEvent;
    },
    onCommand(handler) {
      desk.handler = handler;
    },
    command(verb, value) {
      return desk.decide(verb, value ?? null, state.kind === "connected" ? state.connection : null);
    },
    get state() {
      return {
        connected: state.kind === "connected",
        history: sender.history,
        eventsWaiting: sender.waiting,
        eventsDropped: sender.dropped,
      };
    },
    async close(signal) {
      const patience =
        signal ?? (state.kind === "connected" ? AbortSignal.timeout(drainMs) : AbortSignal.abort());
      await sender.drain(patience);
      await sender.stop();
      await link.close();
    },
  };
}
