/**
 * Goal: the benches of a step work, from our real programs to the last line. Method: their short forms; nothing is said about
 * speed.
 */
import { describe } from "node:test";
import { z } from "zod";
import { skipWithout } from "../support/needed-tool.ts";
import { describeCpu } from "./support/cpu.ts";
import { describeShortForm, least, spread, way, type ShortForm } from "./support/short-form.ts";

const hasBf16 = describeCpu().flags.some((flag) => /^(avx512|amx)_bf16$/u.test(flag));
const floorOfStep = {
  matmul: z.object({ gflops: z.number().positive(), where: z.string() }),
  floorMs: z.object({ firstRow: z.number().positive() }),
  shareOfFloor: spread,
  shareWithWholeLastLayer: z.number().positive(),
};

describe("a bench of a step", () => {
  const forms: readonly ShortForm[] = [
    {
      name: "step",
      args: () => [...least.steps, "--dropout", "0.1", "--precision", "fp32"],
      own: z.object({
        ours: spread,
        lastLayerWhole: spread,
        ...floorOfStep,
      }),
      withPeer: z.object({
        ratio: spread,
        betterPeer: z.enum(["eager", "compile"]),
        peer: z.tuple([
          z.object({ mode: z.literal("eager"), ms: spread }),
          z.object({ mode: z.literal("compile"), ms: spread }),
        ]),
      }),
    },
    {
      name: "step",
      form: "bf16",
      args: () => [...least.steps, "--modes", "eager", "--dropout", "0.1", "--precision", "bf16"],
      skip: skipWithout(hasBf16, "a processor that multiplies bfloat16 (avx512_bf16 or amx_bf16)"),
      own: z.object({ precision: z.literal("bf16"), ours: spread, ...floorOfStep }),
      withPeer: z.object({ ratio: spread, betterPeer: z.literal("eager") }),
    },
    {
      name: "conv",
      args: () => least.steps,
      own: z.object({ name: z.literal("Ringmaster"), ms: spread, cpuMs: spread }),
      beside: z.object({
        floor: z.object({ ms: z.number().positive(), share: z.number().positive() }),
      }),
      peerRows: [1],
      withPeer: z.object({ way, ms: spread }),
    },
    ...["dropout-cost", "checkpointing-cost"].map((name) => ({
      name,
      args: () => [...least.steps, "--precision", "fp32"],
      own: z.object({ model: z.literal("tiny"), with: spread, without: spread, cost: spread }),
      withPeer: null,
    })),
    {
      name: "exactness-cost",
      args: () => least.steps,
      own: z.object({ workers: z.literal(2), int32: spread, float32: spread, cost: spread }),
      withPeer: null,
    },
  ];
  for (const one of forms) describeShortForm(one);
});
