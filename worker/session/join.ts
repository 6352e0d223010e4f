/**
 * How a worker gets its identity: Challenge, proof, Join. The coordinator may start later than its workers, so what
 * cannot be reached is tried again with growing pauses; what is refused is not.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { status } from "@grpc/grpc-js";
import { BadInput } from "../../foundation/bad-input.ts";
import { tlsFailure, type TlsFiles } from "../../foundation/tls/tls-identity.ts";
import { makeProof } from "../../proto/auth.ts";
import type { JoinRequest, JoinResponse } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { CoordinatorClient, Fields, Identity } from "./coordinator-client.ts";

/** What a worker says of itself when it joins. */
export type Introduction = Pick<
  Fields<JoinRequest>,
  "ringAddress" | "hostId" | "processId" | "environment" | "metricsAddress"
>;

/** How to join. */
export interface JoinOptions {
  /** host:port, for messages. */
  readonly coordinator: string;
  /** Run to join; empty takes the coordinator's only run. */
  readonly run: string;
  readonly joinToken: string;
  /** Files of the connection's TLS, for messages; null for plain text. */
  readonly tlsFiles: TlsFiles | null;
  readonly introduction: Introduction;
  /** How long an unreachable coordinator is waited for, in milliseconds. */
  readonly waitMs: number;
  /** Milliseconds of a clock that only goes forward. */
  readonly nowMs: () => number;
  /** Hears of each failed attempt. */
  readonly onRetry: (reason: string, pauseMs: number) => void;
  readonly signal: AbortSignal;
}

/** A place in the run. */
export interface Membership {
  readonly identity: Identity;
  readonly ringKey: Uint8Array;
  /** URL of NATS, or null when the run has none. */
  readonly natsUrl: string | null;
}

const firstPauseMs = 200;
const pauseMsMax = 5_000;

/** Pause before the attempt after `failures` failed ones, in milliseconds: doubles up to five seconds. */
export function pauseAfter(failures: number): number {
  return Math.min(pauseMsMax, firstPauseMs * 2 ** Math.min(failures - 1, 10));
}

/** Joins. Throws BadInput for a wrong token or run, an Error when the run is full or the wait is over. */
export async function joinRun(
  client: CoordinatorClient,
  options: JoinOptions,
): Promise<Membership> {
  const until = options.nowMs() + options.waitMs;
  for (let failures = 1; ; failures++) {
    try {
      return await joinOnce(client, options);
    } catch (error) {
      options.signal.throwIfAborted();
      const { code, details } = grpcFailure(error);
      if (!isPassing(code)) throw refusal(code, details, options);
      const refused = tlsFailure(details);
      if (refused !== null) throw tlsRefusal(refused, options);
      const pauseMs = pauseAfter(failures);
      if (options.nowMs() + pauseMs > until) {
        throw new Error(
          `Cannot join the run as no coordinator answers at ${options.coordinator}: ${explained(details, options)}`,
          { cause: error },
        );
      }
      options.onRetry(explained(details, options), pauseMs);
      await pause(pauseMs, options.signal);
    }
  }
}

/** Rejects with the signal's own reason. */
async function pause(pauseMs: number, signal: AbortSignal): Promise<void> {
  await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
  signal.throwIfAborted();
}

async function joinOnce(client: CoordinatorClient, options: JoinOptions): Promise<Membership> {
  const { introduction, joinToken, signal } = options;
  const { run, nonce } = await client.challenge(options.run, signal);
  const { ringAddress, hostId } = introduction;
  const proof = makeProof(joinToken, { nonce, run, ringAddress, hostId });
  const joined: JoinResponse = await client.join({ run, nonce, proof, ...introduction }, signal);
  const { workerId, incarnation, credential, ringKey, natsUrl } = joined;
  return {
    identity: { run, workerId, incarnation, credential },
    ringKey,
    natsUrl: natsUrl === "" ? null : natsUrl,
  };
}

/** Code and text of a failed call; code UNKNOWN for what is no gRPC failure. */
export function grpcFailure(error: unknown): { readonly code: status; readonly details: string } {
  if (error instanceof Error && "code" in error && typeof error.code === "number") {
    const details = "details" in error ? String(error.details) : error.message;
    return { code: error.code, details };
  }
  return { code: status.UNKNOWN, details: error instanceof Error ? error.message : String(error) };
}

function isPassing(code: status): boolean {
  return code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED;
}

function tlsRefusal(found: string, { coordinator, tlsFiles }: JoinOptions): BadInput {
  if (tlsFiles === null) {
    return new BadInput({
      flag: "--tls-cert",
      expected: `a certificate for the coordinator at ${coordinator}`,
      found,
    });
  }
  const expected = `the authority of the coordinator at ${coordinator}, which must have --tls-cert as well`;
  return new BadInput({ flag: "--tls-ca", file: tlsFiles.ca, expected, found });
}

/** A failure that passes, in words. Who is turned away by TLS is not told so: the connection just ends. */
function explained(details: string, { tlsFiles }: JoinOptions): string {
  if (!/Failed to connect \(/u.test(details)) return details;
  const without =
    tlsFiles === null ? "has TLS and we have no --tls-cert" : "does not take our --tls-cert";
  return `it answers and ends the connection at once; perhaps it ${without} (${details})`;
}

function refusal(code: status, details: string, options: JoinOptions): Error {
  if (code === status.UNAUTHENTICATED) {
    return new BadInput({
      flag: "--join-token-file",
      expected: `the join token of the coordinator at ${options.coordinator}`,
      found: `another one (${details})`,
    });
  }
  if (code === status.NOT_FOUND) {
    return new BadInput({ flag: "--run", expected: "a run of that coordinator", found: details });
  }
  return new Error(`Cannot join the run at ${options.coordinator}: ${details}`);
}
