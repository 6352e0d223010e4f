/**
 * What happened, told to whoever listens: appended to `events.jsonl`, and published on NATS. Neither delays a step.
 */
import { createWriteStream } from "node:fs";
import type { WriteStream } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Event } from "../../proto/gen/ringmaster/v1/event_pb.ts";
import type { Bus } from "../nats/bus.ts";

/** Where events go. */
export interface EventSink {
  publish(event: Event): void;
  /** Resolves once all events are in the file. */
  close(): Promise<void>;
}

/** Number of events that a file holds. */
export async function eventCount(file: string): Promise<number> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text.split("\n").length - 1;
}

/** Appends each event to a file in the envelope that the bus gives it. */
export function openEvents(file: string, bus: Bus, say: (line: string) => void): EventSink {
  const stream: WriteStream = createWriteStream(file, { flags: "a" });
  let failed = false;
  stream.on("error", (error) => {
    if (!failed) say(`events are no longer written to ${file}: ${error.message}`);
    failed = true;
  });
  return {
    publish(event) {
      const line = `${JSON.stringify(bus.publish(event))}\n`;
      if (!failed) stream.write(line);
    },
    close: () =>
      new Promise((resolve) => {
        if (failed) resolve();
        else stream.end(resolve);
      }),
  };
}
