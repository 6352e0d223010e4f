/**
 * A phase whose vectors are summed: computes group by group and adds each group's sum over all ranks, bucket by bucket. What
 * the last microbatch of a group has given already is exchanged while the rest of it is computed:
 *
 *   engine   [microbatch 0 ........][microbatch 1: forward | layer 2 | layer 1 | layer 0]
 *   main                                                      [bucket 0] [bucket 1] [bucket 2]
 *
 * No variable changes here, and buckets change no bit: all ranks add the same ones in the same order, whenever they come
 * to it.
 */
import { bucketCount } from "./exact/buckets.ts";
import { roundingKey } from "./exact/rounding-key.ts";
import { abortable } from "../foundation/abortable.ts";
import type { WatchedRun } from "./watched-run.ts";
import { microbatchName, startMicrobatch, type Course, type PhaseRun } from "./step-course.ts";

/** Runs the phase, whether or not a part of a group is dealt to this rank. */
export async function runSumPhase(
  course: Course,
  phase: PhaseRun,
  signal: AbortSignal,
): Promise<void> {
  const { runStep, means } = course;
  const { sum, ring, runs, gradientBuckets } = means;
  const { microbatchCount } = runStep;
  const count = bucketCount(gradientBuckets, ring, sum.vector.byteLength);
  // Of a full batch, so that they are those by which regions are dealt to owners.
  const buckets = sum.buckets(count, means.microbatchesPerStep);
  const groups = sum.groups(microbatchCount);
  // The slots are to be used now.
  await runs.idle(signal);
  for (const [index, [first, end]] of groups.entries()) {
    const own = runStep.microbatches.filter((number) => number >= first && number < end);
    const last = await computeButLast(course, phase, own, signal);
    if (index === 0) sum.begin(ring.worldSize === 1 && groups.length === 1);
    const group = sum.openGroup(own.length, end - first, means.ownership);
    const isLastGroup = index === groups.length - 1;
    for (const [place, bucket] of buckets.entries()) {
      if (last !== null) await reach(course, last, bucket, signal);
      const exchange = async (): Promise<void> => {
        await group.add(bucket, ring, signal);
        if (bucket.isLast && isLastGroup) await sum.finish(ring, signal);
      };
      const detail = `microbatches ${first} to ${end - 1}, bucket ${place + 1} of ${buckets.length}`;
      await exchangeBeside(course, last?.run ?? null, exchange, detail);
      const next = buckets[place + 1];
      const hasTime = next !== undefined && last?.run.hasReached(next.first, next.end) === false;
      if (isLastGroup && hasTime) await course.digest.take(bucket.first, bucket.end, signal);
    }
  }
}

/** The last own microbatch of a group, whose program may still run. */
interface LastMicrobatch {
  readonly microbatch: number;
  readonly slot: number;
  readonly run: WatchedRun;
}

/** Computes the own microbatches of a group; the last one is only started. Null where there are none. */
async function computeButLast(
  course: Course,
  phase: PhaseRun,
  own: readonly number[],
  signal: AbortSignal,
): Promise<LastMicrobatch | null> {
  const { sum, seed } = course.means;
  for (const [slot, microbatch] of own.entries()) {
    const place = { microbatch, into: sum.slot(slot) };
    const run = await startMicrobatch(course, phase, place, signal);
    sum.roundBy(slot, roundingKey(seed, course.step, microbatch));
    const started = { microbatch, slot, run };
    if (slot === own.length - 1) return started;
    await finish(course, started, signal);
  }
  return null;
}

/** Waits until the last microbatch has given what a bucket needs of it. */
async function reach(
  course: Course,
  last: LastMicrobatch,
  {
    first,
    end,
    isLast,
  }: { readonly first: number; readonly end: number; readonly isLast: boolean },
  signal: AbortSignal,
): Promise<void> {
  if (isLast) await finish(course, last, signal);
  else if (!last.run.hasReached(first, end)) {
    const wait = () => last.run.reach(first, end, signal);
    await course.watch.time("compute", wait, microbatchName(last.microbatch));
  }
}

/** Waits for a microbatch's end, and keeps what it says of its rows. */
async function finish(
  { watch, means }: Course,
  { microbatch, slot, run }: LastMicrobatch,
  signal: AbortSignal,
): Promise<void> {
  const wait = () => abortable(run.result, signal);
  const { touched } = await watch.time("compute", wait, microbatchName(microbatch));
  if (touched !== undefined) means.sum.touch(slot, touched);
}

/** Exchanges; what of it lies beside a program counts as computing, because it keeps nobody waiting. */
async function exchangeBeside(
  { watch, means }: Course,
  run: WatchedRun | null,
  exchange: () => Promise<void>,
  detail: string,
): Promise<void> {
  const startMs = means.nowMs();
  await watch.time("exchange", exchange, detail);
  if (run === null) return;
  const hiddenMs = Math.min(run.endedMs ?? Number.POSITIVE_INFINITY, means.nowMs()) - startMs;
  watch.move("exchange", "compute", Math.max(0, hiddenMs));
}
