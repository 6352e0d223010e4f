/** What profiled steps come to: where their time went, which ops took it, how far the products are from the peak. Pure. */
import { bothOf, lengthOf, unionOf, type Interval } from "./intervals.ts";
import type { ProfiledStep, ProfileSpan } from "./profiled-step.ts";

/** A step's milliseconds: `step = compute + exchange + input + commit + other`. */
export interface StepParts {
  readonly stepMs: number;
  /** The engine computes. */
  readonly computeMs: number;
  /** It does not, while the main thread exchanges: what of the exchange could not be hidden. */
  readonly exchangeMs: number;
  /** It does not, while the main thread waits for input. */
  readonly inputMs: number;
  /** It does not, while the worker waits for the coordinator's commit. */
  readonly commitMs: number;
  /** The rest: hashing the gradients, messages between the threads, reports. */
  readonly otherMs: number;
  /** Exchange while the engine computes. */
  readonly hiddenExchangeMs: number;
}

/** All ops of one kind, a step. */
export interface OpKind {
  readonly op: string;
  readonly count: number;
  readonly ms: number;
  /** Of the time of all ops. */
  readonly share: number;
  /** Operations of matrix products a second; 0 for ops without. */
  readonly gflops: number;
}

/** One worker's profile; figures are means over its steps. */
export interface WorkerSummary {
  readonly rank: number;
  readonly workerId: string;
  readonly steps: readonly number[];
  readonly mean: StepParts;
  readonly exchange: {
    /** Milliseconds a step of the whole exchange, hidden or not. */
    readonly wholeMs: number;
    /** Share of it that lay beside computing, and so cost no time. */
    readonly hiddenShare: number;
  };
  readonly ops: readonly OpKind[];
  /** Share of the engine's time in which no op ran. */
  readonly betweenOps: number;
  readonly products: {
    /** Operations of the step's matrix products, in 10⁹. */
    readonly gflop: number;
    /** Of the matrix products' own time. */
    readonly gflops: number;
    /** Of the engine's whole time. */
    readonly computeGflops: number;
    /** Of a large matrix product on the same threads; 0 when it was not measured. */
    readonly peakGflops: number;
  };
  /** Share of the computed tokens that were padding. */
  readonly padding: number;
  /** Ops that were not noted because there were too many: the ops' figures are of the others. */
  readonly leftOut: number;
}

const nanosPerMs = 1e6;

function moments(
  spans: readonly ProfileSpan[],
  wanted: (span: ProfileSpan) => boolean,
): readonly Interval[] {
  return unionOf(
    spans.filter(wanted).map(({ startNs, endNs }) => ({ start: startNs, end: endNs })),
  );
}

/** Where a step's time went. Each moment counts once: for the engine if it computes, else for what the worker waits for. */
export function partsOf({ spans, tookNs }: ProfiledStep): StepParts {
  const window = [{ start: 0, end: tookNs }];
  const engine = bothOf(
    moments(spans, ({ track }) => track === "engine"),
    window,
  );
  const main = (activity: string): readonly Interval[] =>
    bothOf(
      moments(spans, ({ track, name }) => track === "main" && name === activity),
      window,
    );
  const hidden = (union: readonly Interval[]): number => lengthOf(bothOf(union, engine));
  const shown = (union: readonly Interval[]): number => lengthOf(union) - hidden(union);
  const exchange = main("exchange");
  const compute = lengthOf(engine);
  const parts = [shown(exchange), shown(main("data")), shown(main("wait for commit"))] as const;
  const [exchangeNs, inputNs, commitNs] = parts;
  const otherNs = tookNs - compute - exchangeNs - inputNs - commitNs;
  return {
    stepMs: tookNs / nanosPerMs,
    computeMs: compute / nanosPerMs,
    exchangeMs: exchangeNs / nanosPerMs,
    inputMs: inputNs / nanosPerMs,
    commitMs: commitNs / nanosPerMs,
    otherMs: otherNs / nanosPerMs,
    hiddenExchangeMs: hidden(exchange) / nanosPerMs,
  };
}

function meanOf(parts: readonly StepParts[]): StepParts {
  const mean = (value: (part: StepParts) => number): number =>
    parts.reduce((sum, part) => sum + value(part), 0) / Math.max(1, parts.length);
  return {
    stepMs: mean(({ stepMs }) => stepMs),
    computeMs: mean(({ computeMs }) => computeMs),
    exchangeMs: mean(({ exchangeMs }) => exchangeMs),
    inputMs: mean(({ inputMs }) => inputMs),
    commitMs: mean(({ commitMs }) => commitMs),
    otherMs: mean(({ otherMs }) => otherMs),
    hiddenExchangeMs: mean(({ hiddenExchangeMs }) => hiddenExchangeMs),
  };
}

function exchangeOf({ exchangeMs, hiddenExchangeMs }: StepParts): WorkerSummary["exchange"] {
  const wholeMs = exchangeMs + hiddenExchangeMs;
  return { wholeMs, hiddenShare: wholeMs === 0 ? 0 : hiddenExchangeMs / wholeMs };
}

function rate(flops: number, ns: number): number {
  return ns === 0 ? 0 : flops / ns;
}

/** Kinds of ops by the time that they take, the longest first. */
function kindsOf(ops: readonly ProfileSpan[], steps: number): readonly OpKind[] {
  const kinds = new Map<string, { count: number; ns: number; flops: number }>();
  let allNs = 0;
  for (const { name, startNs, endNs, flops } of ops) {
    const kind = kinds.get(name) ?? { count: 0, ns: 0, flops: 0 };
    kind.count += 1;
    kind.ns += endNs - startNs;
    kind.flops += flops;
    allNs += endNs - startNs;
    kinds.set(name, kind);
  }
  return [...kinds]
    .map(([op, { count, ns, flops }]) => ({
      op,
      count: count / steps,
      ms: ns / steps / nanosPerMs,
      share: allNs === 0 ? 0 : ns / allNs,
      gflops: rate(flops, ns),
    }))
    .sort((left, right) => right.ms - left.ms);
}

/** Sums up the steps of one worker, of which there is at least one. */
export function summarizeWorker(steps: readonly ProfiledStep[]): WorkerSummary {
  const [first] = steps;
  if (first === undefined) throw new RangeError("Cannot sum up a profile of no steps");
  const ops = steps.flatMap(({ spans }) => spans.filter(({ track }) => track === "ops"));
  const products = ops.filter(({ flops }) => flops > 0);
  const flops = products.reduce((sum, span) => sum + span.flops, 0);
  const productNs = products.reduce((sum, { startNs, endNs }) => sum + endNs - startNs, 0);
  const mean = meanOf(steps.map(partsOf));
  const computeNs = mean.computeMs * nanosPerMs * steps.length;
  const opNs = steps.reduce(
    (sum, { spans }) => sum + lengthOf(moments(spans, ({ track }) => track === "ops")),
    0,
  );
  const computed = steps.reduce((sum, { paddedTokens }) => sum + paddedTokens, 0);
  const tokens = steps.reduce((sum, step) => sum + step.tokens, 0);
  return {
    rank: first.rank,
    workerId: first.workerId,
    steps: steps.map(({ step }) => step),
    mean,
    exchange: exchangeOf(mean),
    ops: kindsOf(ops, steps.length),
    betweenOps: computeNs === 0 ? 0 : Math.max(0, 1 - opNs / computeNs),
    products: {
      gflop: flops / steps.length / 1e9,
      gflops: rate(flops, productNs),
      computeGflops: rate(flops, computeNs),
      peakGflops: first.peakFlops / 1e9,
    },
    padding: computed === 0 ? 0 : 1 - tokens / computed,
    leftOut: steps.reduce((sum, { leftOut }) => sum + leftOut, 0),
  };
}
