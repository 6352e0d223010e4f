/** `coordinator control VERB`: asks a run that goes on, and says what it answers. */
import { BadInput } from "../../foundation/bad-input.ts";
import { nearestName } from "../../foundation/job/nearest.ts";
import { controlVerbs, isControlVerb, type ControlVerb } from "../../proto/subjects.ts";
import { readControlAddress, type ControlAddress } from "../nats/control-address.ts";
import { say, type CommandContext } from "./command-context.ts";
import { findRunningFolder } from "./running-folder.ts";

interface Asked {
  readonly verb: ControlVerb;
  readonly value: number | null;
}

function verbOf(word: string): ControlVerb {
  if (isControlVerb(word)) return word;
  const nearest = nearestName(word, controlVerbs);
  throw new BadInput({
    expected: `one of ${controlVerbs.join(", ")}`,
    found: word,
    ...(nearest === null ? {} : { remedy: `did you mean ${nearest}?` }),
  });
}

/** The verb and its value. Throws BadInput. */
export function parseControl(operands: readonly string[]): Asked {
  const verb = verbOf(operands[0] ?? "");
  const text = operands[1];
  if (verb !== "set-learning-rate") {
    if (text === undefined) return { verb, value: null };
    throw new BadInput({ expected: `no value with ${verb}`, found: text });
  }
  const value = text === undefined || text.trim() === "" ? Number.NaN : Number(text);
  if (Number.isFinite(value) && value >= 0 && value <= 1) return { verb, value };
  throw new BadInput({
    expected: "a learning rate from 0 to 1, such as `control set-learning-rate 1e-5`",
    found: text ?? "none",
  });
}

function text(flag: unknown): string | null {
  return typeof flag === "string" ? flag : null;
}

async function addressOf(flags: Readonly<Record<string, unknown>>): Promise<ControlAddress> {
  const url = text(flags["nats"]);
  const run = text(flags["run"]);
  if (url !== null && run !== null) return { url, run };
  if (url !== null || run !== null) {
    const missing = url === null ? "--nats" : "--run";
    throw new BadInput({
      flag: missing,
      expected: "it beside the other of --nats and --run",
      found: "none",
    });
  }
  return readControlAddress(text(flags["output-dir"]) ?? (await findRunningFolder("runs")));
}

/** Sends the command. Resolves with 0 when it was accepted, 1 when the run refused it. */
export async function runControl(
  operands: readonly string[],
  flags: Readonly<Record<string, unknown>>,
  context: CommandContext,
): Promise<number> {
  const { verb, value } = parseControl(operands);
  const address = await addressOf(flags);
  const { sendControl } = await import("../nats/control-client.ts");
  const answer = await sendControl({ ...address, verb, ...(value === null ? {} : { value }) });
  if (!answer.accepted) {
    context.stderr.write(`coordinator: ${address.run} refused ${verb}: ${answer.reason}\n`);
    return 1;
  }
  say(context, `${address.run}: ${verb} accepted, from step ${answer.step}`);
  return 0;
}
