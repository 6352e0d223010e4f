/**
 * Goal: the benches of several workers work, from our real programs to the last line. Method: their short forms; nothing is said
 * about speed.
 */
import { describe } from "node:test";
import { z } from "zod";
import { skipWithout } from "../support/needed-tool.ts";
import { networksPermitted } from "../support/network-hosts.ts";
import { describeShortForm, least, spread, type ShortForm } from "./support/short-form.ts";

describe("a bench of several workers", () => {
  const forms: readonly ShortForm[] = [
    {
      name: "throughput",
      args: () => [...least.steps, "--workers", "2"],
      own: z.object({
        workers: z.literal(2),
        ours: spread,
        floor: z.object({ perSecond: z.number().positive(), share: z.number().positive() }),
      }),
      withPeer: z.object({ pytorch: spread, ratio: spread, peerThreads: z.number().min(1) }),
    },
    {
      name: "overlap",
      skip: skipWithout(networksPermitted(), "permission for network namespaces"),
      args: () => [...least.steps, "--workers", "2", "--buckets", "1,3"],
      own: z.object({
        buckets: z.literal(1),
        stepMs: spread,
        wholeExchangeMs: spread,
        hidden: z.object({ ofOwnExchange: spread, ofOneBucket: spread }),
      }),
      withPeer: null,
    },
    {
      name: "links",
      skip: skipWithout(networksPermitted(), "permission for network namespaces"),
      args: () => [...least.steps, "--mbits", "200", "--wires", "int16", "--hooks", "powersgd"],
      own: z.object({
        megabits: z.literal(200),
        form: z.literal("int16"),
        samplesPerSecond: spread,
        loss: z.number(),
        meanLoss: z.number(),
      }),
      withPeer: z.object({ ratios: z.object({ powersgd: spread }) }),
    },
    {
      name: "ring",
      args: () => [],
      own: z.object({
        processes: z.literal(2),
        megabytes: z.literal(1),
        ours: z.object({ auto: z.object({ ms: spread }), grpc: z.object({ ms: spread }) }),
      }),
      withPeer: z.object({ glooMs: spread, ours: z.object({ grpc: z.object({ ratio: spread }) }) }),
    },
  ];
  for (const one of forms) describeShortForm(one);
});
