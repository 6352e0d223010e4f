/** What `npm run test:gpu` does: read from its flags, and refused where there is no GPU to do it on. */
import { BadInput } from "../../foundation/bad-input.ts";
import { refuseMissingGpus } from "../../foundation/host/graphics-cards.ts";
import type { Precision } from "../../foundation/precision.ts";
import { readBenchFlags, WrongFlag } from "../bench/support/bench-flags.ts";

/** The parts of the acceptance, in order. */
export const parts = ["parity", "exactness", "throughput"] as const;
/** One of them. */
export type Part = (typeof parts)[number];

const precisions = ["fp32", "bf16", "fp16"] as const;
const devices = ["gpu", "cpu"] as const;
const modes = ["eager", "compile"] as const;

/** What is done, on what. */
export interface AcceptancePlan {
  readonly device: "cpu" | "gpu";
  /** A tiny model and few steps: shows that the harness works, and nothing of speed. */
  readonly short: boolean;
  readonly parts: readonly Part[];
  /** Numbers of workers, ascending; with `gpu` each has a GPU of its own. */
  readonly workers: readonly number[];
  readonly precisions: readonly Precision[];
  /** How PyTorch runs; empty without it. */
  readonly modes: readonly ("eager" | "compile")[];
  /** Rows of a microbatch and tokens of a row, where speed is measured. */
  readonly rows: number;
  readonly tokens: number;
  readonly rounds: number;
  readonly steps: number;
  /** Folder for `report.md` and `report.json`. */
  readonly reportFolder: string;
}

function chosen<T extends string>(
  flag: string,
  given: readonly string[],
  known: readonly T[],
): readonly T[] {
  const unknown = given.find((name) => !known.some((one) => one === name));
  if (unknown === undefined) return known.filter((name) => given.includes(name));
  throw new WrongFlag(`--${flag}: expected some of ${known.join(", ")}, found "${unknown}"`);
}

function countsOf(given: readonly string[], gpus: number): readonly number[] {
  if (given.length === 0) return [...new Set([1, 2, gpus])].filter((count) => count <= gpus);
  const counts = given.map(Number);
  const wrong = given.find((_, place) => !Number.isInteger(counts[place]) || counts[place]! < 1);
  if (wrong !== undefined) {
    throw new WrongFlag(`--workers: expected whole numbers from 1, found "${wrong}"`);
  }
  return [...new Set(counts)].sort((a, b) => a - b);
}

/**
 * Reads the flags. Throws WrongFlag, also where a GPU is wanted and none is there.
 * @param present GPUs of this machine @param visibleDevices `CUDA_VISIBLE_DEVICES`
 */
export function planAcceptance(
  args: readonly string[],
  present: readonly string[],
  visibleDevices: string | undefined,
): AcceptancePlan {
  const flags = readBenchFlags(args, {
    device: "gpu",
    parts: [...parts],
    workers: [],
    precision: [...precisions],
    modes: [...modes],
    rows: 32,
    tokens: 128,
    rounds: 7,
    steps: 20,
    report: "gpu-report",
    short: false,
    "no-peer": false,
  });
  const [device = "gpu"] = chosen("device", [flags.device], devices);
  const gpus = visibleDevices?.split(",").filter((name) => name.trim() !== "").length;
  const workers = countsOf(flags.workers, device === "gpu" ? (gpus ?? present.length) : 2);
  try {
    refuseMissingGpus(device, workers.at(-1) ?? 1, { present, visibleDevices });
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    throw new WrongFlag(`${error.message}; --device cpu --short tries the harness without one`);
  }
  return {
    device,
    short: flags.short,
    parts: chosen("parts", flags.parts, parts),
    workers,
    precisions: chosen("precision", flags.precision, precisions),
    modes: flags["no-peer"] ? [] : chosen("modes", flags.modes, modes),
    rows: flags.short ? 4 : flags.rows,
    tokens: flags.short ? 16 : flags.tokens,
    rounds: flags.rounds,
    steps: flags.steps,
    reportFolder: flags.report,
  };
}
