/**
 * `npm run bench:ring [-- --repeats 7 --sizes 4,25,100,250 --processes 2,4 --transports auto,grpc]`: an exact sum as
 * workers do it (exponents agreed, quantised, reduced, scaled back) beside gloo's float32 all-reduce. The groups live side
 * by side and work in turn, one exchange each, so that whatever else the machine does meets all of them alike.
 */
import { readBenchFlags, runBench, WrongFlag } from "./support/bench-flags.ts";
import { printReport, tellProgress } from "./support/report.ts";
import { startGlooGroup, startOurGroup, type RingGroup } from "./support/ring-group.ts";
import { formatSpread, spreadOf, type Spread } from "./support/statistics.ts";

/** Exchanges before the first that counts. */
const warmUps = 2;

type TransportName = "auto" | "grpc";

interface Plan {
  readonly repeats: number;
  readonly sizes: readonly number[];
  readonly counts: readonly number[];
  readonly transports: readonly TransportName[];
}

function numbersOf(flag: string, texts: readonly string[]): readonly number[] {
  const numbers = texts.map(Number);
  if (numbers.some((number) => !(number > 0))) {
    const found = texts.join(",");
    throw new WrongFlag(`--${flag}: expected numbers above 0 with commas between, found ${found}`);
  }
  return numbers;
}

function readPlan(args: readonly string[]): Plan {
  const flags = readBenchFlags(args, {
    repeats: 7,
    sizes: ["4", "25", "100", "250"],
    processes: ["2", "4"],
    transports: ["auto", "grpc"],
  });
  const transports = flags.transports.map((text) => {
    if (text === "auto" || text === "grpc") return text;
    throw new WrongFlag(`--transports: expected auto or grpc, found ${text}`);
  });
  return {
    repeats: flags.repeats,
    sizes: numbersOf("sizes", flags.sizes),
    counts: numbersOf("processes", flags.processes),
    transports,
  };
}

interface Row {
  readonly processes: number;
  readonly megabytes: number;
  readonly glooMs: Spread;
  readonly ours: Readonly<Record<string, { readonly ms: Spread; readonly ratio: Spread }>>;
}

async function measureSize(
  groups: readonly RingGroup[],
  { megabytes, repeats }: { readonly megabytes: number; readonly repeats: number },
): Promise<number[][]> {
  for (const group of groups) await group.size(megabytes);
  const times = groups.map((): number[] => []);
  for (let i = 0; i < warmUps + repeats; i++) {
    for (const [at, group] of groups.entries()) {
      const ms = await group.run();
      if (i >= warmUps) times[at]?.push(ms);
    }
  }
  return times;
}

async function measureCount(
  count: number,
  plan: Plan,
): Promise<{ readonly rows: Row[]; readonly torch: string }> {
  const gloo = await startGlooGroup(count);
  const ours: RingGroup[] = [];
  for (const transport of plan.transports) ours.push(await startOurGroup(count, transport));
  const rows: Row[] = [];
  for (const megabytes of plan.sizes) {
    const [glooTimes = [], ...ourTimes] = await measureSize([gloo, ...ours], {
      megabytes,
      repeats: plan.repeats,
    });
    const entries = ourTimes.map((times, at) => {
      const ratio = spreadOf(times.map((ms, i) => (glooTimes[i] ?? Number.NaN) / ms));
      return [ours[at]?.name ?? "", { ms: spreadOf(times), ratio }] as const;
    });
    rows.push({
      processes: count,
      megabytes,
      glooMs: spreadOf(glooTimes),
      ours: Object.fromEntries(entries),
    });
    tellProgress(`${count} processes, ${megabytes} MB`);
  }
  for (const group of [...ours, gloo]) await group.leave();
  return { rows, torch: gloo.torch };
}

async function main(): Promise<void> {
  const plan = readPlan(process.argv.slice(2));
  const { repeats, transports } = plan;
  const results: Row[] = [];
  let torch = "";
  for (const count of plan.counts) {
    const measured = await measureCount(count, plan);
    results.push(...measured.rows);
    torch = measured.torch;
  }
  const names = { auto: "default transport", grpc: "gRPC only" };
  const title =
    `exact sum beside gloo's float32 all-reduce: ms of the slowest rank, median (least–most) of ${repeats} in turn; ` +
    `ratio = gloo's time ÷ ours`;
  const rows = [
    ["processes", "MB", "gloo", ...transports.flatMap((transport) => [names[transport], "ratio"])],
    ...results.map((row) => [
      String(row.processes),
      String(row.megabytes),
      formatSpread(row.glooMs),
      ...transports.flatMap((transport) => {
        const own = row.ours[transport];
        return own === undefined ? ["", ""] : [formatSpread(own.ms), formatSpread(own.ratio, 2)];
      }),
    ]),
  ];
  printReport("ring", [{ title, rows }], { versions: { torch }, repeats, results });
}

await runBench(main);
