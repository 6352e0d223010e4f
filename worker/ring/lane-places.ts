/** Where the chunks of a lane may be put: told one by one, often before they arrive and sometimes only afterwards. Pure. */
import { isSameChunk } from "./lane-messages.ts";
import type { ChunkHead } from "./link.ts";

/** The places that have been told and not been used, in the order of the chunks. */
export class LanePlaces {
  readonly #told: { readonly head: ChunkHead; readonly place: Uint8Array }[] = [];

  get size(): number {
    return this.#told.length;
  }

  tell(head: ChunkHead, place: Uint8Array): void {
    this.#told.push({ head, place });
  }

  /** A chunk's place, or null where none is told. It and those of chunks before it are forgotten. */
  take(head: ChunkHead): Uint8Array | null {
    const index = this.#told.findIndex((told) => isSameChunk(told.head, head));
    return this.#told.splice(0, index + 1)[index]?.place ?? null;
  }
}
