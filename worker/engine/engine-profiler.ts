/** Notes what the engine does while a step is profiled, with TensorFlow's own notes of every op. */
import { opSpans } from "../profile/op-spans.ts";
import { readRunMetadata } from "../profile/run-metadata.ts";
import { plainSpan, type Span } from "../profile/span.ts";
import type { OwnBinding } from "./binding.ts";
import type { RunTracer } from "./graph-session.ts";

/** What the engine did since its profile was started. */
export interface EngineProfile {
  /** Of the tracks `engine` and `ops`, in milliseconds of the engine's clock. */
  readonly spans: readonly Span[];
  /** Ops that were not noted because there were too many. */
  readonly leftOut: number;
  /** Best rate of a large matrix product, floating point operations a second. */
  readonly peakFlops: number;
}

/** Ops of a profile; those beyond are counted only. About 50 bytes each on their way to the coordinator. */
const opsMax = 100_000;
/** Bytes that TensorFlow's notes may take before they are read. */
const notesBytesMax = 256 * 1024 * 1024;

interface NotedRun {
  readonly startMs: number;
  readonly endMs: number;
  readonly metadata: Uint8Array;
}

/** One profile. */
export class EngineProfiler implements RunTracer {
  readonly #binding: OwnBinding;
  readonly #nowMs: () => number;
  readonly #spans: Span[] = [];
  readonly #runs: NotedRun[] = [];
  #notesBytes = 0;

  constructor(binding: OwnBinding, nowMs: () => number) {
    this.#binding = binding;
    this.#nowMs = nowMs;
  }

  /** Does something of the engine's. */
  time<Value>(name: string, detail: string, run: () => Value): Value {
    const startMs = this.#nowMs();
    try {
      return run();
    } finally {
      const time = { startMs, endMs: this.#nowMs() };
      this.#spans.push(plainSpan("engine", name, time, detail));
    }
  }

  trace<Value>(run: () => Value): Value {
    if (this.#notesBytes >= notesBytesMax) return run();
    this.#binding.traceNextRun();
    const startMs = this.#nowMs();
    try {
      return run();
    } finally {
      const endMs = this.#nowMs();
      const metadata = new Uint8Array(this.#binding.takeRunTrace());
      this.#notesBytes += metadata.byteLength;
      this.#runs.push({ startMs, endMs, metadata });
    }
  }

  /**
   * Reads what was noted.
   * @param parameterOf name of the parameter behind a variable's node, or null
   */
  take(parameterOf: (node: string) => string | null): Omit<EngineProfile, "peakFlops"> {
    const spans = [...this.#spans];
    let leftOut = 0;
    for (const { metadata, ...time } of this.#runs) {
      const ops = opSpans({ ...time, ops: readRunMetadata(metadata) }, parameterOf);
      const room = Math.max(0, opsMax - (spans.length - this.#spans.length));
      spans.push(...ops.slice(0, room));
      leftOut += Math.max(0, ops.length - room);
    }
    return { spans, leftOut };
  }
}
