/**
 * Who may take part. A worker proves the join token by an HMAC over the coordinator's nonce (the token is never sent)
 * and receives a credential and a ring key; ring neighbours prove membership to each other by an HMAC under that key.
 * Every comparison takes the same time whatever differs.
 */
import { createHmac, timingSafeEqual } from "node:crypto";

/** Names of the call metadata that carry identity. */
export const metadataNames = {
  worker: "ringmaster-worker",
  incarnation: "ringmaster-incarnation",
  credential: "ringmaster-credential",
  generation: "ringmaster-generation",
  proof: "ringmaster-proof",
} as const;

/** What a join proof covers: whoever holds it can join only as this ring address on this host. */
export interface JoinClaim {
  readonly nonce: Uint8Array;
  readonly run: string;
  /** host:port of the worker's ring service. */
  readonly ringAddress: string;
  readonly hostId: string;
}

/** What a ring proof covers. */
export interface RingClaim {
  readonly workerId: string;
  readonly generation: bigint;
  /** Lane, from 0. */
  readonly lane: number;
}

function hmac(key: string | Uint8Array, parts: readonly (string | Uint8Array)[]): Buffer {
  const mac = createHmac("sha256", key);
  for (const [position, part] of parts.entries()) {
    if (position > 0) mac.update("\0");
    mac.update(part);
  }
  return mac.digest();
}

/** Whether two byte strings are equal, in time that depends on their lengths only. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.byteLength === right.byteLength && timingSafeEqual(left, right);
}

/** HMAC-SHA256(token, nonce ‖ 0x00 ‖ run ‖ 0x00 ‖ ring address ‖ 0x00 ‖ host id), 32 bytes. */
export function makeProof(token: string, claim: JoinClaim): Uint8Array {
  return hmac(token, [claim.nonce, claim.run, claim.ringAddress, claim.hostId]);
}

/** Whether a proof was made with this token over this claim. */
export function verifyProof(token: string, claim: JoinClaim, proof: Uint8Array): boolean {
  return equalBytes(makeProof(token, claim), proof);
}

/** HMAC-SHA256(ring key, worker id ‖ 0x00 ‖ generation ‖ 0x00 ‖ lane) in hex; numbers in decimal. */
export function makeRingProof(ringKey: Uint8Array, claim: RingClaim): string {
  return hmac(ringKey, [claim.workerId, String(claim.generation), String(claim.lane)]).toString(
    "hex",
  );
}

/** Whether a ring proof was made with this key over this claim. */
export function verifyRingProof(ringKey: Uint8Array, claim: RingClaim, proof: string): boolean {
  return equalBytes(Buffer.from(makeRingProof(ringKey, claim)), Buffer.from(proof));
}
