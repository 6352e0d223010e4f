/**
 * `npm run bench:ring [-- --repeats 7 --sizes 4,25,100,250 --processes 2,4 --transports auto,grpc --lanes 0 --wires int32]`: an exact sum as
 * workers do it (exponents agreed, quantised, reduced, scaled back) beside gloo's float32 all-reduce. The groups live side
 * by side and work in turn, one exchange each, so that whatever else the machine does meets all of them alike. There is a
 * group for each wire format, and one by gRPC for each count of lanes; what a lane takes off the main thread is its processor time.
 * `--short`: few exchanges of 1 MB over two processes, to try the harness; `--no-peer`: our side only.
 */
import { exactWires, type GradientWire } from "../../foundation/gradient-wire.ts";
import { readBenchFlags, runBench, WrongFlag } from "./support/bench-flags.ts";
import { printReport, tellProgress } from "./support/report.ts";
import {
  startGlooGroup,
  startOurGroup,
  type RingGroup,
  type RingTimes,
} from "./support/ring-group.ts";
import { formatSpread, ratioOfMedians, spreadOf, type Spread } from "./support/statistics.ts";

/** Exchanges of a size before the first that counts: until node has compiled what it runs, which costs a core meanwhile. */
const warmUps = { whole: 40, short: 2 };

type TransportName = "auto" | "grpc";

interface Plan {
  readonly repeats: number;
  readonly sizes: readonly number[];
  readonly counts: readonly number[];
  readonly transports: readonly TransportName[];
  /** Threads beside the main one that payloads by gRPC are spread over, a group for each count. */
  readonly lanes: readonly number[];
  readonly wires: readonly GradientWire[];
  readonly short: boolean;
  readonly hasPeer: boolean;
}

function numbersOf(flag: string, texts: readonly string[]): readonly number[] {
  const numbers = texts.map(Number);
  if (numbers.some((number) => !(number > 0))) {
    const found = texts.join(",");
    throw new WrongFlag(`--${flag}: expected numbers above 0 with commas between, found ${found}`);
  }
  return numbers;
}

function countsOf(flag: string, texts: readonly string[]): readonly number[] {
  if (!texts.every((text) => /^\d$/u.test(text)))
    throw new WrongFlag(`--${flag}: expected counts up to 9 with commas, found ${texts.join(",")}`);
  return texts.map(Number);
}

function readPlan(args: readonly string[]): Plan {
  const short = args.includes("--short");
  const flags = readBenchFlags(args, {
    repeats: short ? 2 : 7,
    sizes: short ? ["1"] : ["4", "25", "100", "250"],
    processes: short ? ["2"] : ["2", "4"],
    transports: ["auto", "grpc"],
    lanes: ["0"],
    wires: ["int32"],
    short: false,
    "no-peer": false,
  });
  const transports = flags.transports.map((text) => {
    if (text === "auto" || text === "grpc") return text;
    throw new WrongFlag(`--transports: expected auto or grpc, found ${text}`);
  });
  const wires = flags.wires.map((text) => {
    const wire = exactWires.find((name) => name === text);
    if (wire !== undefined) return wire;
    throw new WrongFlag(`--wires: expected ${exactWires.join(", ")}, found ${text}`);
  });
  return {
    repeats: flags.repeats,
    sizes: numbersOf("sizes", flags.sizes),
    counts: numbersOf("processes", flags.processes),
    transports,
    lanes: countsOf("lanes", flags.lanes),
    wires,
    short,
    hasPeer: !flags["no-peer"],
  };
}

interface Row {
  readonly processes: number;
  readonly megabytes: number;
  /** Null without the peer, as the ratios to it are. */
  readonly glooMs: Spread | null;
  readonly ours: Readonly<Record<string, OurTimes>>;
}

interface OurTimes {
  readonly ms: Spread;
  readonly ratio: Spread | null;
  readonly mainThreadMs: Spread;
}

async function measureSize(
  groups: readonly RingGroup[],
  megabytes: number,
  { repeats, short }: Plan,
): Promise<RingTimes[][]> {
  const before = short ? warmUps.short : warmUps.whole;
  for (const group of groups) await group.size(megabytes);
  const times = groups.map((): RingTimes[] => []);
  for (let i = 0; i < before + repeats; i++) {
    for (const [at, group] of groups.entries()) {
      const run = await group.run();
      if (i >= before) times[at]?.push(run);
    }
  }
  return times;
}

async function measureCount(
  count: number,
  plan: Plan,
): Promise<{ readonly rows: Row[]; readonly torch: string | null }> {
  const gloo = plan.hasPeer ? await startGlooGroup(count) : null;
  const ours: RingGroup[] = [];
  for (const transport of plan.transports) {
    for (const lanes of transport === "grpc" ? plan.lanes : [0])
      for (const wire of plan.wires)
        ours.push(await startOurGroup(count, { transport, lanes, wire }));
  }
  const rows: Row[] = [];
  for (const megabytes of plan.sizes) {
    const groups = gloo === null ? ours : [...ours, gloo];
    const measured = await measureSize(groups, megabytes, plan);
    const ourTimes = measured.slice(0, ours.length);
    const glooTimes = measured[ours.length] ?? null;
    const entries = ourTimes.map((times, at) => {
      const own: OurTimes = {
        ms: spreadOf(times.map(({ ms }) => ms)),
        ratio:
          glooTimes === null
            ? null
            : ratioOfMedians(
                glooTimes.map(({ ms }) => ms),
                times.map(({ ms }) => ms),
              ),
        mainThreadMs: spreadOf(times.map(({ mainThreadMs }) => mainThreadMs)),
      };
      return [ours[at]?.name ?? "", own] as const;
    });
    rows.push({
      processes: count,
      megabytes,
      glooMs: glooTimes === null ? null : spreadOf(glooTimes.map(({ ms }) => ms)),
      ours: Object.fromEntries(entries),
    });
    tellProgress(`${count} processes, ${megabytes} MB`);
  }
  for (const group of [...ours, ...(gloo === null ? [] : [gloo])]) await group.leave();
  return { rows, torch: gloo?.torch ?? null };
}

const spreadOrDash = (spread: Spread | null, digits?: number): string =>
  spread === null ? "–" : formatSpread(spread, digits);

async function main(): Promise<void> {
  const plan = readPlan(process.argv.slice(2));
  const { repeats } = plan;
  const results: Row[] = [];
  let torch: string | null = null;
  for (const count of plan.counts) {
    const measured = await measureCount(count, plan);
    results.push(...measured.rows);
    torch = measured.torch;
  }
  const names = [...new Set(results.flatMap(({ ours }) => Object.keys(ours)))];
  const title =
    `exact sum beside gloo's float32 all-reduce: ms of the slowest rank, median (least–most) of ${repeats} in turn; ` +
    `ratio = gloo's median ÷ ours (least–most by round); main thread: ms of its processor time`;
  const rows = [
    ["processes", "MB", "gloo", ...names.flatMap((name) => [name, "ratio", "main thread"])],
    ...results.map((row) => [
      String(row.processes),
      String(row.megabytes),
      spreadOrDash(row.glooMs),
      ...names.flatMap((name) => {
        const own = row.ours[name];
        return own === undefined
          ? ["", "", ""]
          : [formatSpread(own.ms), spreadOrDash(own.ratio, 2), formatSpread(own.mainThreadMs)];
      }),
    ]),
  ];
  printReport("ring", [{ title, rows }], {
    versions: torch === null ? null : { torch },
    repeats,
    results,
  });
}

await runBench(main);
