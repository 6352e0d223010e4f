/** Which further values each schedule takes (`--lr-scheduler-kwargs`), and what they must be. */
import { BadInput } from "../bad-input.ts";
import type { Place } from "./job-layers.ts";
import { nearestName } from "./nearest.ts";
import type { ScheduleSettings } from "./schedule.ts";
import type { SchedulerType } from "./settings.ts";

const number = "number";
const wave = ["linear", "cosine", "1-sqrt"] as const;
type Kwargs = Readonly<Record<string, typeof number | readonly string[]>>;

const withMin: Kwargs = { num_cycles: number, min_lr: number, min_lr_rate: number };

const kwargsOf: Readonly<Record<SchedulerType, Kwargs>> = {
  linear: {},
  cosine: { num_cycles: number },
  cosine_with_restarts: { num_cycles: number },
  polynomial: { lr_end: number, power: number },
  constant: {},
  constant_with_warmup: {},
  inverse_sqrt: { timescale: number },
  cosine_with_min_lr: withMin,
  cosine_warmup_with_min_lr: { ...withMin, warmup_lr_rate: number },
  warmup_stable_decay: {
    num_decay_steps: number,
    num_stable_steps: number,
    min_lr_ratio: number,
    num_cycles: number,
    warmup_type: wave,
    decay_type: wave,
  },
  reduce_lr_on_plateau: {
    mode: ["min", "max"],
    factor: number,
    patience: number,
    threshold: number,
    threshold_mode: ["rel", "abs"],
    cooldown: number,
    min_lr: number,
    eps: number,
  },
};

function checkValue(
  name: string,
  value: number | string,
  settings: ScheduleSettings,
  place: Place,
): void {
  const known = kwargsOf[settings.lrSchedulerType];
  const kind = Object.hasOwn(known, name) ? known[name] : undefined;
  if (kind === undefined) {
    const nearest = nearestName(name, Object.keys(known));
    const names = Object.keys(known).join(", ");
    throw new BadInput({
      ...place,
      expected: `${names === "" ? "no values" : names} with ${settings.lrSchedulerType}`,
      found: name,
      ...(nearest === null ? {} : { remedy: `did you mean ${nearest}?` }),
    });
  }
  if (kind === number && typeof value === "number" && Number.isFinite(value) && value >= 0) return;
  if (kind !== number && typeof value === "string" && kind.includes(value)) return;
  const expected =
    kind === number ? `${name} to be a number from 0` : `${name} to be ${kind.join(", ")}`;
  throw new BadInput({ ...place, expected, found: String(value) });
}

/** Checks the schedule's values. Throws BadInput at `place`. */
export function checkSchedule(settings: ScheduleSettings, place: Place): void {
  const kwargs = settings.lrSchedulerKwargs;
  for (const [name, value] of Object.entries(kwargs)) checkValue(name, value, settings, place);
  const type = settings.lrSchedulerType;
  if (type === "warmup_stable_decay" && kwargs["num_decay_steps"] === undefined) {
    throw new BadInput({ ...place, expected: `num_decay_steps with ${type}`, found: "none" });
  }
  const leasts = ["min_lr", "min_lr_rate"].filter((name) => kwargs[name] !== undefined);
  if (type.includes("min_lr") && leasts.length !== 1) {
    const found = leasts.length === 0 ? "neither" : "both";
    throw new BadInput({ ...place, expected: `min_lr or min_lr_rate with ${type}`, found });
  }
  const end = kwargs["lr_end"] ?? 1e-7;
  if (type === "polynomial" && typeof end === "number" && end >= settings.learningRate) {
    const expected = `lr_end below --learning-rate ${settings.learningRate}`;
    throw new BadInput({ ...place, expected, found: String(end) });
  }
}
