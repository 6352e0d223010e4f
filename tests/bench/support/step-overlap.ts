/** How much of the exchange lay beside computing, of a profiled run: by its summary, and by all ranks' traces together. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

const summarySchema = z.object({
  workers: z.array(
    z.object({
      mean: z.object({
        stepMs: z.number(),
        computeMs: z.number(),
        exchangeMs: z.number(),
        inputMs: z.number(),
        commitMs: z.number(),
        otherMs: z.number(),
      }),
      exchange: z.object({ wholeMs: z.number(), hiddenShare: z.number() }),
    }),
  ),
});
const traceSchema = z.object({
  traceEvents: z.array(
    z.object({
      ph: z.string(),
      name: z.string(),
      cat: z.string().optional(),
      ts: z.number().optional(),
      dur: z.number().optional(),
    }),
  ),
});

/** A step's milliseconds; means over ranks and steps. */
export interface StepOverlap {
  readonly stepMs: number;
  readonly computeMs: number;
  /** What of the exchange was not hidden. */
  readonly exchangeMs: number;
  /** The whole exchange, waiting for slower ranks included. */
  readonly wholeExchangeMs: number;
  /** Input, commit and all else. */
  readonly otherMs: number;
  /** From when the last rank had computed its gradients until the last one had exchanged them: what overlap is to shorten. */
  readonly afterGradientsMs: number;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

interface Stretch {
  readonly start: number;
  readonly end: number;
}

/** When things of one name ended on one rank, step by step, in milliseconds of the traces' common clock. */
function lastEnds(file: string, cat: string, name: string): readonly number[] {
  const { traceEvents } = traceSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  const stretches = (wantedCat: string, wanted: (name: string) => boolean): readonly Stretch[] =>
    traceEvents
      .filter((event) => event.ph === "X" && event.cat === wantedCat && wanted(event.name))
      .map(({ ts = 0, dur = 0 }) => ({ start: ts / 1000, end: (ts + dur) / 1000 }));
  const found = stretches(cat, (one) => one === name);
  return stretches("step", () => true)
    .toSorted((one, two) => one.start - two.start)
    .map((step) => {
      const within = found.filter(({ start }) => start >= step.start && start <= step.end);
      return Math.max(...within.map(({ end }) => end));
    });
}

/** Reads a run's profile. Throws where there is none. */
export function readOverlap(outputFolder: string, workers: number): StepOverlap {
  const folder = join(outputFolder, "profile");
  const summary = summarySchema.parse(
    JSON.parse(readFileSync(join(folder, "summary.json"), "utf8")),
  );
  const files = Array.from({ length: workers }, (_, rank) => join(folder, `rank-${rank}.json`));
  const latest = (cat: string, name: string): readonly number[] => {
    const ranks = files.map((file) => lastEnds(file, cat, name));
    return (ranks[0] ?? []).map((_, step) => Math.max(...ranks.map((ends) => ends[step] ?? 0)));
  };
  const computed = latest("engine", "gradients");
  const exchanged = latest("main", "exchange");
  const means = summary.workers.map((worker) => worker.mean);
  return {
    stepMs: mean(means.map(({ stepMs }) => stepMs)),
    computeMs: mean(means.map(({ computeMs }) => computeMs)),
    exchangeMs: mean(means.map(({ exchangeMs }) => exchangeMs)),
    wholeExchangeMs: mean(summary.workers.map(({ exchange }) => exchange.wholeMs)),
    otherMs: mean(means.map(({ inputMs, commitMs, otherMs }) => inputMs + commitMs + otherMs)),
    afterGradientsMs: mean(exchanged.map((end, step) => end - (computed[step] ?? end))),
  };
}
