/**
 * Goal: the benches on MRPC work, from our real programs to the last line. Method: their short forms, on made-up files of its
 * form; nothing is said about speed.
 */
import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { z } from "zod";
import {
  describeShortForm,
  hasPeer,
  least,
  makeMrpcFolder,
  reportOf,
  spread,
  way,
  type ShortForm,
} from "./support/short-form.ts";

describe("a bench on MRPC", () => {
  let data: string;
  before(() => {
    data = makeMrpcFolder();
  });
  after(() => rmSync(data, { recursive: true, force: true }));

  const forms: readonly ShortForm[] = [
    {
      name: "numerics",
      args: () => ["--data", data, "--envelope-steps", "2"],
      own: z.object({
        model: z.literal("BERT"),
        name: z.literal("float32 ring"),
        errors: z.record(z.string(), z.number().positive().max(1e-6)),
      }),
      withPeer: z.looseObject({}),
    },
    {
      // The article's code, and the Trainer.
      name: "epoch",
      args: () => [...least.rounds, "--data", data, "--variants", "article,grouped"],
      own: z.object({ name: z.literal("Ringmaster"), seconds: spread }),
      peerRows: [1, 2],
      withPeer: z.object({ seconds: spread, ratio: spread, way }),
    },
    {
      name: "predict",
      args: () => [...least.rounds, "--data", data, "--kinds", "pipeline"],
      own: z.looseObject({}),
      withPeer: z.object({ kind: z.literal("pipeline"), ratio: spread, way }),
    },
    {
      name: "exact",
      args: () => [data, "--padding", "bucket"],
      own: z.object({
        padding: z.literal("bucket"),
        isOne: z.literal(true),
        rows: z.array(
          z.object({ lengths: z.array(z.number()).min(2), clipped: z.number().min(1) }),
        ),
      }),
      withPeer: null,
    },
    {
      name: "mrpc",
      args: () => ["--data", data, "--seeds", "42", "--results", join(data, "results.jsonl")],
      own: z.object({ epoch: z.literal(1), ours: z.object({ accuracy: z.number() }) }),
      withPeer: z.object({ trainer: z.object({ accuracy: z.number() }) }),
    },
  ];
  for (const one of forms) describeShortForm(one);

  it("goes on with the results that it has stored", async () => {
    const file = join(data, "results.jsonl");
    const before = readFileSync(file, "utf8");
    assert.equal(before.trimEnd().split("\n").length, hasPeer ? 2 : 1);
    await reportOf("mrpc", ["--data", data, "--seeds", "42", "--results", file]);
    assert.equal(readFileSync(file, "utf8"), before);
  });
});
