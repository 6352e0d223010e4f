/** A profile's summary for a person. Pure. */
import { shareText, tableText } from "../live/format.ts";
import type { OpKind, WorkerSummary } from "./profile-summary.ts";

const opsShown = 12;

function stepsText(steps: readonly number[]): string {
  const [first = 0] = steps;
  const last = steps.at(-1) ?? first;
  return first === last ? `step ${first}` : `steps ${first} to ${last}`;
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}

function partsText({ mean, exchange }: WorkerSummary): string {
  const { stepMs, computeMs, exchangeMs, inputMs, commitMs, otherMs } = mean;
  const { wholeMs, hiddenShare } = exchange;
  const hidden =
    hiddenShare === 0
      ? ""
      : ` (of ${ms(wholeMs)}, ${shareText(hiddenShare)} hidden behind compute)`;
  return `step ${ms(stepMs)} = compute ${ms(computeMs)} + exchange ${ms(exchangeMs)}${hidden} + input ${ms(inputMs)} + commit ${ms(commitMs)} + other ${ms(otherMs)}`;
}

function productsText({ products, padding }: WorkerSummary): readonly string[] {
  const { gflop, gflops, computeGflops, peakGflops } = products;
  const pads = `padding: ${shareText(padding)} of the computed tokens`;
  if (gflop === 0) return [pads];
  const whole = (rate: number): string => rate.toFixed(0);
  const ofPeak = (rate: number): string =>
    peakGflops === 0 ? "" : `, ${shareText(rate / peakGflops)} of the peak`;
  const peak = peakGflops === 0 ? "" : `; a large one reaches ${whole(peakGflops)} here, the peak`;
  return [
    `matrix products: ${gflop.toFixed(1)} GFLOP a step at ${whole(gflops)} GFLOP/s${ofPeak(gflops)}; over all of compute ${whole(computeGflops)}${ofPeak(computeGflops)}${peak}`,
    pads,
  ];
}

function opRow({ op, count, ms: milliseconds, share, gflops }: OpKind): readonly string[] {
  const rate = gflops === 0 ? "" : gflops.toFixed(0);
  return [op, count.toFixed(0), milliseconds.toFixed(1), shareText(share), rate];
}

function opLines({ ops, betweenOps, leftOut }: WorkerSummary): readonly string[] {
  if (ops.length === 0)
    return ["no ops were noted: they are where programs are recorded (no --eager)"];
  const rest = ops.slice(opsShown);
  const restRow: OpKind = {
    op: `${rest.length} other kinds`,
    count: rest.reduce((sum, { count }) => sum + count, 0),
    ms: rest.reduce((sum, { ms: one }) => sum + one, 0),
    share: rest.reduce((sum, { share }) => sum + share, 0),
    gflops: 0,
  };
  const rows = [...ops.slice(0, opsShown), ...(rest.length > 0 ? [restRow] : [])];
  const head = ["op", "a step", "ms", "share", "GFLOP/s"];
  const missing = leftOut === 0 ? [] : [`${leftOut} ops were left out of the trace`];
  return [
    ...tableText([head, ...rows.map(opRow)]),
    `no op ran in ${shareText(betweenOps)} of compute`,
    ...missing,
  ];
}

/** One line a worker, for the end of a run. */
export function profileHeadlines(workers: readonly WorkerSummary[]): readonly string[] {
  return workers.map((worker) => `  rank ${worker.rank}, ${worker.workerId}: ${partsText(worker)}`);
}

/** The whole text of a profile. */
export function profileText(workers: readonly WorkerSummary[]): string {
  const blocks = workers.map((worker) =>
    [
      `rank ${worker.rank}, ${worker.workerId}, mean of ${stepsText(worker.steps)}`,
      partsText(worker),
      ...productsText(worker),
      "",
      ...opLines(worker),
      "",
    ].join("\n"),
  );
  return blocks.join("\n");
}
