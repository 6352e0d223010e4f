/**
 * The NATS side of the contract: subjects, verbs and what their messages carry. `docs/control.md` says the same for
 * people with a NATS client of their own.
 */
import type { Event } from "./gen/ringmaster/v1/event_pb.ts";

/** What can be asked of a run while it goes on. */
export const controlVerbs = [
  "pause",
  "resume",
  "checkpoint",
  "evaluate",
  "stop",
  "set-learning-rate",
] as const;

/** One of `controlVerbs`. */
export type ControlVerb = (typeof controlVerbs)[number];

/** Whether a word is one of `controlVerbs`. */
export function isControlVerb(word: string): word is ControlVerb {
  return controlVerbs.some((verb) => verb === word);
}

/** The name of an event as its subject says it. */
export type EventKind = NonNullable<Event["kind"]["case"]>;

/** Characters that a run's subject token may have at most. */
export const runTokenMax = 128;

/**
 * A run's name as one token of a subject: what NATS gives a meaning (`.`, `*`, `>`, blanks) and everything else beyond
 * letters, digits, `-` and `_` becomes `_`. Throws RangeError for a name that leaves nothing.
 */
export function runToken(run: string): string {
  const token = run.replaceAll(/[^A-Za-z0-9_-]/g, "_").slice(0, runTokenMax);
  if (token === "") throw new RangeError(`Cannot name subjects after the run: its name is empty`);
  return token;
}

/** Request-reply: a request of verb `verb`; `*` stands for all of them. */
export function commandSubject(run: string, verb: ControlVerb | "*"): string {
  return `ringmaster.${runToken(run)}.command.${verb}`;
}

/** Broadcast to workers: accepted commands, as protobuf JSON of ControlCommand. */
export function controlSubject(run: string): string {
  return `ringmaster.${runToken(run)}.control`;
}

/** The kind as its subject says it: `stepCommitted` → `step-committed`. */
export function eventKindToken(kind: EventKind): string {
  return kind.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Events of one kind, as CloudEvents 1.0 JSON; `>` stands for all kinds. */
export function eventSubject(run: string, kind: EventKind | ">"): string {
  return `ringmaster.${runToken(run)}.event.${kind === ">" ? kind : eventKindToken(kind)}`;
}

/** The JetStream stream that keeps a run's events. */
export function eventStream(run: string): string {
  return `RINGMASTER_${runToken(run)}`;
}

/** Largest request and largest answer of a command in bytes. */
export const commandBytesMax = 4096;

/** Largest event in bytes, its envelope included. */
export const eventBytesMax = 262_144;
