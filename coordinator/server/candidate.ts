/**
 * What a joining worker says of itself, checked: it comes from a socket, before the proof is looked at.
 */
import { status } from "@grpc/grpc-js";
import { z } from "zod";
import type { JoinRequest } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { CallError } from "./call-stream.ts";
import type { Candidate } from "./membership.ts";

const addressPattern = /^(?:[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.%]{2,64}\]):\d{1,5}$/u;
const factCharactersMax = 4096;
const factsMax = 64;

const candidateSchema = z.object({
  ringAddress: z.string().regex(addressPattern, "ring_address: expected host:port"),
  hostId: z.string().min(1, "host_id: expected some text").max(256),
  processId: z.number().int().nonnegative(),
  metricsAddress: z
    .string()
    .regex(addressPattern, "metrics_address: expected host:port")
    .or(z.literal("")),
  environment: z
    .record(z.string().max(256), z.string().max(factCharactersMax))
    .refine((facts) => Object.keys(facts).length <= factsMax, "environment: too many entries"),
});

/** The checked candidate of a Join. Throws INVALID_ARGUMENT with what is wrong. */
export function candidateOf(request: JoinRequest): Candidate {
  const parsed = candidateSchema.safeParse(request);
  if (!parsed.success) {
    const problem = parsed.error.issues[0]?.message ?? "malformed request";
    throw new CallError(status.INVALID_ARGUMENT, problem);
  }
  return parsed.data;
}
