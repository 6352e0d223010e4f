/**
 * Goal: the benches of a run's memory and start work, from our real programs to the last line; a bench says which flags it
 * knows. Method: their short forms; nothing is said about speed.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { z } from "zod";
import {
  describeShortForm,
  least,
  runBenchScript,
  spread,
  type ShortForm,
} from "./support/short-form.ts";

describe("a bench", () => {
  const forms: readonly ShortForm[] = [
    {
      name: "memory",
      args: () => [...least.steps, "--precision", "fp32"],
      own: z.object({ ours: z.object({ min: z.number().min(1e7) }), processes: z.number().min(3) }),
      withPeer: z.object({ pytorch: z.tuple([z.object({ bytes: spread, ratio: spread })]) }),
    },
    {
      name: "start",
      args: () => [...least.rounds, "--workers", "2"],
      own: z.object({
        workers: z.literal(2),
        firstStep: spread,
        phases: z.array(z.object({ name: z.string(), seconds: spread })).length(7),
      }),
      withPeer: null,
    },
    {
      name: "soak",
      args: () => ["--steps", "300"],
      own: z.object({ peakBytes: z.number().min(1e7), growthPerStep: z.number() }),
      withPeer: null,
    },
  ];
  for (const one of forms) describeShortForm(one);

  it("refuses what it does not know, and says what it knows", async () => {
    for (const [args, words] of [
      [["--turns", "3"], /--turns.*--rounds/su],
      [["--rounds", "some"], /--rounds: expected a number from 0, found "some"/u],
    ] as const) {
      const { code, errors } = await runBenchScript("throughput", args);
      assert.equal(code, 2);
      assert.match(errors, words);
    }
  });
});
