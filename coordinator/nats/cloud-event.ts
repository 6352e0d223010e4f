/**
 * The envelope of an event: CloudEvents 1.0 in JSON, the same on NATS and in `events.jsonl`.
 */
import { create, toJson, type JsonObject } from "@bufbuild/protobuf";
import { EventSchema, type Event } from "../../proto/gen/ringmaster/v1/event_pb.ts";
import type { EventKind } from "../../proto/subjects.ts";

/** An event in its envelope. https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md */
export interface CloudEvent {
  readonly specversion: "1.0";
  /** Run and sequence: unique within `source`, and JetStream's message id. */
  readonly id: string;
  /** `/ringmaster/<run>`. */
  readonly source: string;
  /** `ringmaster.v1.<Message>`, the message that `data` holds as protobuf JSON. */
  readonly type: string;
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly datacontenttype: "application/json";
  /** Counts the run's events from 1; a string, as the sequence extension asks. */
  readonly sequence: string;
  readonly data: JsonObject;
}

/** What an event's initialiser looks like: `{ case: "stepCommitted", value: { step: 7n, … } }`. */
export type EventKindInit = NonNullable<Parameters<typeof create<typeof EventSchema>>[1]>["kind"];

/** Makes an Event from its kind. */
export function eventOf(kind: NonNullable<EventKindInit>): Event {
  return create(EventSchema, { kind });
}

/** The kind of an event. Throws TypeError for an event without one: the caller forgot it. */
export function kindOf(event: Event): EventKind {
  if (event.kind.case === undefined) throw new TypeError("Cannot publish an event without a kind");
  return event.kind.case;
}

/** Puts an event into its envelope. */
export function cloudEventOf(
  event: Event,
  place: { readonly run: string; readonly sequence: number; readonly time: Date },
): CloudEvent {
  const kind = kindOf(event);
  const json = toJson(EventSchema, event, { alwaysEmitImplicit: true });
  const data = (json as Record<string, JsonObject>)[kind] ?? {};
  return {
    specversion: "1.0",
    id: `${place.run}-${place.sequence}`,
    source: `/ringmaster/${encodeURIComponent(place.run)}`,
    type: `ringmaster.v1.${kind.charAt(0).toUpperCase()}${kind.slice(1)}`,
    time: place.time.toISOString(),
    datacontenttype: "application/json",
    sequence: String(place.sequence),
    data,
  };
}
