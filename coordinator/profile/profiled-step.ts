/** A worker's report of a profiled step, unpacked and checked: it comes from outside. */
import { z } from "zod";
import type { StepProfiled } from "../../proto/gen/ringmaster/v1/run_pb.ts";

/** Whose time a span was: the worker's threads, and TensorFlow's own. */
export const tracks = ["main", "engine", "input", "ops"] as const;
/** One of those. */
export type Track = (typeof tracks)[number];

/** A stretch of time on one track, in nanoseconds since the step's turn came. */
export interface ProfileSpan {
  readonly track: Track;
  readonly name: string;
  readonly detail: string;
  readonly shape: string;
  readonly startNs: number;
  readonly endNs: number;
  /** Floating point operations of the matrix products in it. */
  readonly flops: number;
  /** Bytes of the result; 0 when not known. */
  readonly bytes: number;
}

/** One step of one worker. */
export interface ProfiledStep {
  readonly rank: number;
  readonly workerId: string;
  readonly step: number;
  /** Unix time in milliseconds at which the step's turn came, by the worker's clock. */
  readonly startedMs: number;
  readonly tookNs: number;
  readonly spans: readonly ProfileSpan[];
  readonly tokens: number;
  readonly paddedTokens: number;
  /** Best rate of a large matrix product, operations a second; 0 when it was not measured. */
  readonly peakFlops: number;
  /** Ops that were not noted. */
  readonly leftOut: number;
}

const nanosPerMs = 1e6;
const track = z.enum(tracks);

/** Unpacks a report. Throws RangeError or ZodError where it contradicts itself. */
export function unpackProfile(
  report: StepProfiled,
  worker: Pick<ProfiledStep, "rank" | "workerId">,
): ProfiledStep {
  const word = (index: number): string => {
    const found = report.words[index];
    if (found === undefined) {
      throw new RangeError(`Cannot read a profile as it lacks word ${index}`);
    }
    return found;
  };
  return {
    ...worker,
    step: Number(report.step),
    startedMs: report.startedMs,
    tookNs: Math.round(report.tookMs * nanosPerMs),
    spans: report.spans.map((span) => ({
      track: track.parse(word(span.track)),
      name: word(span.name),
      detail: word(span.detail),
      shape: word(span.shape),
      startNs: Number(span.startNs),
      endNs: Number(span.startNs) + Number(span.tookNs),
      flops: span.flops,
      bytes: Number(span.bytes),
    })),
    tokens: Number(report.tokens),
    paddedTokens: Number(report.paddedTokens),
    peakFlops: report.peakFlops,
    leftOut: report.leftOut,
  };
}
