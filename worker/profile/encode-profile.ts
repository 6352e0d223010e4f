/** Packs a profiled step for its way to the coordinator: words once, times as whole nanoseconds. Pure. */
import { create } from "@bufbuild/protobuf";
import {
  ProfileSpanSchema,
  StepProfiledSchema,
  type StepProfiled,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { Span } from "./span.ts";

/** What is known of the step beside its spans. */
export interface ProfiledStep {
  readonly step: number;
  /** When it began, milliseconds of the worker's clock. */
  readonly originMs: number;
  readonly tookMs: number;
  readonly tokens: number;
  readonly paddedTokens: number;
  readonly peakFlops: number;
  readonly leftOut: number;
}

const nanosPerMs = 1e6;

/** The report of a profiled step. */
export function encodeProfile(spans: readonly Span[], facts: ProfiledStep): StepProfiled {
  const places = new Map<string, number>([["", 0]]);
  const place = (word: string): number => {
    const known = places.get(word) ?? places.size;
    places.set(word, known);
    return known;
  };
  // Rounded one by one, so that what lies within another span still does afterwards.
  const nanos = (ms: number): number => Math.round((ms - facts.originMs) * nanosPerMs);
  const encoded = spans.map(({ track, name, detail, shape, startMs, endMs, flops, bytes }) =>
    create(ProfileSpanSchema, {
      track: place(track),
      name: place(name),
      detail: place(detail),
      shape: place(shape),
      startNs: BigInt(nanos(startMs)),
      tookNs: BigInt(nanos(endMs) - nanos(startMs)),
      flops,
      bytes: BigInt(bytes),
    }),
  );
  return create(StepProfiledSchema, {
    step: BigInt(facts.step),
    startedMs: facts.originMs,
    tookMs: facts.tookMs,
    words: [...places.keys()],
    spans: encoded,
    tokens: BigInt(facts.tokens),
    paddedTokens: BigInt(facts.paddedTokens),
    peakFlops: facts.peakFlops,
    leftOut: facts.leftOut,
  });
}
