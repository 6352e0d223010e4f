/** What bench:step makes of its figures: ratios, the floor's shares, a table. */
import { stepFlops, type BatchShape } from "./floor.ts";
import type { Allocator } from "./peer-way.ts";
import { bertShapes } from "./random-bert.ts";
import { formatSpread, median, ratioOfMedians, spreadOf } from "./statistics.ts";
import type { PeerMode, TrainPeer } from "./train-peer.ts";

/** One line of the table. */
export interface StepCell {
  readonly model: string;
  readonly dropout: number;
  readonly precision: "fp32" | "bf16";
}

/** A way of running the peer, chosen before the rounds: which allocator settings, how many threads. */
export interface ChosenPeer {
  readonly mode: PeerMode;
  readonly peer: TrainPeer;
  readonly allocator: Allocator;
}

/** Milliseconds of a line's rounds, and the best rate of matrix products. */
export interface StepTimes {
  readonly ours: readonly number[];
  /** Of ours with the last layer computed whole. */
  readonly oursWhole: readonly number[];
  readonly peerMs: ReadonlyMap<PeerMode, readonly number[]>;
  readonly peers: readonly ChosenPeer[];
  readonly best: { readonly gflops: number; readonly where: string };
}

/** What the figures of a line come to. */
export function evaluate(cell: StepCell, batch: BatchShape, measured: StepTimes) {
  const { ours, oursWhole, peerMs, peers, best } = measured;
  const shape = bertShapes[cell.model]!;
  const floorOf = (last: Parameters<typeof stepFlops>[2]): number =>
    stepFlops(shape, batch, last) / best.gflops / 1e6;
  const floorMs = {
    firstRow: floorOf("first-row"),
    firstRowKeysValues: floorOf("first-row-keys-values"),
    wholeLastLayer: floorOf("whole"),
  };
  const peer = [...peerMs].map(([mode, ms]) => {
    const chosen = peers.find((one) => one.mode === mode);
    return {
      mode,
      allocator: chosen?.allocator ?? "default",
      threads: chosen?.peer.threads ?? 0,
      ms: spreadOf(ms),
    };
  });
  const better = peer.reduce<(typeof peer)[number] | null>(
    (least, one) => (least === null || one.ms.median < least.ms.median ? one : least),
    null,
  );
  const betterMs = better === null ? [] : (peerMs.get(better.mode) ?? []);
  return {
    ...cell,
    ours: spreadOf(ours),
    lastLayerWhole: spreadOf(oursWhole),
    peer,
    ...(better === null
      ? {}
      : {
          betterPeer: better.mode,
          ratio: ratioOfMedians(betterMs, ours),
        }),
    matmul: best,
    floorMs,
    shareOfFloor: spreadOf(ours.map((ms) => floorMs.firstRow / ms)),
    shareWithKeysValues: floorMs.firstRowKeysValues / median(ours),
    shareWithWholeLastLayer: floorMs.wholeLastLayer / median(ours),
  };
}

/** A line. */
export type StepResult = ReturnType<typeof evaluate>;

/** The lines as a table, under its heading. */
export function stepTable(results: readonly StepResult[]): readonly (readonly string[])[] {
  const percent = (value: number): string => `${(100 * value).toFixed(0)} %`;
  const peerText = (result: StepResult, mode: PeerMode): string => {
    const one = result.peer.find((candidate) => candidate.mode === mode);
    return one === undefined ? "–" : formatSpread(one.ms, 0);
  };
  return [
    [
      "model",
      "dropout",
      "precision",
      "Ringmaster, ms",
      "its last layer whole, ms",
      "eager, ms",
      "torch.compile, ms",
      "PyTorch ÷ ours",
      "matmul, GFLOP/s",
      "floor, ms",
      "share of the floor",
      "(keys and values whole)",
      "(last layer whole)",
    ],
    ...results.map((r) => [
      r.model,
      String(r.dropout),
      r.precision,
      formatSpread(r.ours, 0),
      formatSpread(r.lastLayerWhole, 0),
      peerText(r, "eager"),
      peerText(r, "compile"),
      r.ratio === undefined ? "–" : formatSpread(r.ratio, 2),
      ...(r.matmul.gflops === 0
        ? ["–", "–", "–", "–", "–"]
        : [
            r.matmul.gflops.toFixed(0),
            r.floorMs.firstRow.toFixed(0),
            percent(r.shareOfFloor.median),
            percent(r.shareWithKeysValues),
            percent(r.shareWithWholeLastLayer),
          ]),
    ]),
  ];
}
