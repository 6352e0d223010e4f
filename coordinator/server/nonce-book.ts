/**
 * The challenges that wait for their Join: each is good once, for a minute, and there are never more than the limit.
 */
import { nonceLifetimeMs, pendingNoncesMax } from "../../proto/limits.ts";

/** Remembers nonces between Challenge and Join. Times are milliseconds of any clock that only goes forward. */
export class NonceBook {
  readonly #issuedAtMs = new Map<string, number>();

  /** Nonces that wait. */
  get size(): number {
    return this.#issuedAtMs.size;
  }

  /** Notes a fresh nonce; forgets what is too old, and the oldest beyond the limit. */
  issue(nonce: Uint8Array, nowMs: number): void {
    for (const [key, issuedAtMs] of this.#issuedAtMs) {
      if (nowMs - issuedAtMs <= nonceLifetimeMs && this.#issuedAtMs.size < pendingNoncesMax) break;
      this.#issuedAtMs.delete(key);
    }
    this.#issuedAtMs.set(keyOf(nonce), nowMs);
  }

  /** Whether the nonce was issued, is young enough, and was not redeemed before. It is spent either way. */
  redeem(nonce: Uint8Array, nowMs: number): boolean {
    const key = keyOf(nonce);
    const issuedAtMs = this.#issuedAtMs.get(key);
    this.#issuedAtMs.delete(key);
    return issuedAtMs !== undefined && nowMs - issuedAtMs <= nonceLifetimeMs;
  }
}

function keyOf(nonce: Uint8Array): string {
  return Buffer.from(nonce).toString("hex");
}
