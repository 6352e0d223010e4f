/** Checks that a trace is one that Perfetto opens as it is meant: well-formed, in order and nested on every thread. */
import assert from "node:assert/strict";
import { z } from "zod";

const place = { pid: z.int().nonnegative(), tid: z.int().nonnegative() };
const args = z.record(z.string(), z.union([z.string(), z.number()]));
const completeEvent = z.strictObject({
  ph: z.literal("X"),
  name: z.string().min(1),
  cat: z.string().min(1),
  ...place,
  ts: z.number(),
  dur: z.number().nonnegative(),
  args: args.optional(),
});
const metadataEvent = z.strictObject({
  ph: z.literal("M"),
  name: z.enum(["process_name", "thread_name", "thread_sort_index"]),
  ...place,
  args,
});
const traceSchema = z.strictObject({
  displayTimeUnit: z.literal("ms"),
  traceEvents: z.array(z.discriminatedUnion("ph", [completeEvent, metadataEvent])),
});

/** An event that took time. */
export type CompleteEvent = z.infer<typeof completeEvent>;

/** Half a nanosecond, in microseconds: times are whole nanoseconds, written as decimals. */
const rounding = 0.0005;

/** Throws AssertionError or ZodError at the first thing that is wrong; gives the events that took time. */
export function checkTrace(trace: unknown): readonly CompleteEvent[] {
  const { traceEvents } = traceSchema.parse(trace);
  const complete = traceEvents.filter((event) => event.ph === "X");
  const named = new Set(
    traceEvents
      .filter((event) => event.ph === "M" && event.name === "thread_name")
      .map(({ pid, tid }) => `${pid} ${tid}`),
  );
  const open = new Map<string, { readonly ts: number; readonly end: number; name: string }[]>();
  for (const { pid, tid, ts, dur, name } of complete) {
    const thread = `${pid} ${tid}`;
    assert.ok(named.has(thread), `thread ${thread} has no name`);
    const stack = open.get(thread) ?? [];
    const before = stack.at(-1);
    assert.ok(
      before === undefined || ts >= before.ts - rounding,
      `${name} begins before ${before?.name}`,
    );
    while (stack.length > 0 && stack.at(-1)!.end <= ts + rounding) stack.pop();
    const around = stack.at(-1);
    assert.ok(
      around === undefined || ts + dur <= around.end + rounding,
      `${name} on thread ${thread} ends at ${ts + dur}, after ${around?.name} around it at ${around?.end}`,
    );
    stack.push({ ts, end: ts + dur, name });
    open.set(thread, stack);
  }
  return complete;
}
