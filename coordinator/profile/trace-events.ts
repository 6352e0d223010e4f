/**
 * A worker's profiled steps as trace events, which ui.perfetto.dev and chrome://tracing open. Pure. A worker is a process
 * (its rank the number), its threads are threads; ops that ran side by side lie in lanes. The format:
 * https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
 */
import type { ProfiledStep, ProfileSpan } from "./profiled-step.ts";

/** A stretch of time; times are microseconds since the trace's origin. */
export interface CompleteEvent {
  readonly ph: "X";
  readonly name: string;
  readonly cat: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur: number;
  readonly args?: Readonly<Record<string, string | number>>;
}

/** Names a process or a thread, or places a thread. */
export interface MetadataEvent {
  readonly ph: "M";
  readonly name: "process_name" | "thread_name" | "thread_sort_index";
  readonly pid: number;
  readonly tid: number;
  readonly args: Readonly<Record<string, string | number>>;
}

/** One event. */
export type TraceEvent = CompleteEvent | MetadataEvent;

const threads = { step: 0, main: 1, engine: 2, input: 3, ops: 10 } as const;
const nanosPerMicro = 1000;

/** Lanes for spans, so that no two of a lane overlap: each takes the first that is free. @param spans by their starts */
export function lanesOf(spans: readonly ProfileSpan[]): readonly number[] {
  const freeAt: number[] = [];
  return spans.map(({ startNs, endNs }) => {
    const free = freeAt.findIndex((end) => end <= startNs);
    const lane = free < 0 ? freeAt.length : free;
    freeAt[lane] = endNs;
    return lane;
  });
}

function argsOf({ detail, shape, flops, bytes, startNs, endNs }: ProfileSpan) {
  const args: Record<string, string | number> = {};
  if (detail !== "") args["detail"] = detail;
  if (shape !== "") args["shape"] = shape;
  if (bytes > 0) args["bytes"] = bytes;
  if (flops > 0) {
    args["flops"] = flops;
    if (endNs > startNs) args["GFLOP/s"] = Number((flops / (endNs - startNs)).toFixed(1));
  }
  return Object.keys(args).length === 0 ? {} : { args };
}

/** Longer spans first where two begin together, so that what is within another follows it. */
function byStart(left: ProfileSpan, right: ProfileSpan): number {
  return left.startNs - right.startNs || right.endNs - left.endNs;
}

function stepEvents(profiled: ProfiledStep, originMs: number): CompleteEvent[] {
  const { rank, step, spans, tookNs } = profiled;
  const shiftNs = Math.round((profiled.startedMs - originMs) * 1e6);
  const event = (tid: number, span: ProfileSpan): CompleteEvent => ({
    ph: "X",
    name: span.name,
    cat: span.track,
    pid: rank,
    tid,
    ts: (shiftNs + span.startNs) / nanosPerMicro,
    dur: (span.endNs - span.startNs) / nanosPerMicro,
    ...argsOf(span),
  });
  const whole = {
    ph: "X",
    name: `step ${step}`,
    cat: "step",
    pid: rank,
    tid: threads.step,
  } as const;
  const sorted = spans.toSorted(byStart);
  const ops = sorted.filter((span) => span.track === "ops");
  const lanes = lanesOf(ops);
  return [
    { ...whole, ts: shiftNs / nanosPerMicro, dur: tookNs / nanosPerMicro },
    ...sorted.flatMap((span) => (span.track === "ops" ? [] : [event(threads[span.track], span)])),
    ...ops.map((span, index) => event(threads.ops + (lanes[index] ?? 0), span)),
  ];
}

function metadata(rank: number, workerId: string, tids: ReadonlySet<number>): MetadataEvent[] {
  const nameOf = (tid: number): string => {
    const known = Object.entries(threads).find(
      ([name, number]) => number === tid && name !== "ops",
    );
    return known?.[0] ?? `ops, lane ${tid - threads.ops + 1}`;
  };
  const pid = rank;
  return [
    { ph: "M", name: "process_name", pid, tid: 0, args: { name: `rank ${rank}, ${workerId}` } },
    ...[...tids]
      .toSorted((left, right) => left - right)
      .flatMap((tid): MetadataEvent[] => [
        { ph: "M", name: "thread_name", pid, tid, args: { name: nameOf(tid) } },
        { ph: "M", name: "thread_sort_index", pid, tid, args: { sort_index: tid } },
      ]),
  ];
}

/**
 * The events of one worker: names first, then each thread's by their starts.
 * @param steps of one worker
 * @param originMs Unix time in milliseconds that times count from
 */
export function traceEvents(steps: readonly ProfiledStep[], originMs: number): TraceEvent[] {
  const [first] = steps;
  if (first === undefined) return [];
  const events = steps.flatMap((step) => stepEvents(step, originMs));
  events.sort((left, right) => left.tid - right.tid || left.ts - right.ts || right.dur - left.dur);
  const tids = new Set(events.map(({ tid }) => tid));
  return [...metadata(first.rank, first.workerId, tids), ...events];
}
