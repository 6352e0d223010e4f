/**
 * How many tokens of each text survive, by the strategy `longest_first` of Hugging Face's tokenizers
 * (`truncate_encodings`, whose closed form this is): the longer text gives way first, then both to half each.
 */

/** Tokens kept of the first and of the second text. */
export interface KeptTokens {
  readonly first: number;
  readonly second: number;
}

/**
 * Tokens kept of a pair.
 * @param first tokens of the first text
 * @param second tokens of the second text
 * @param room tokens that fit beside the special tokens
 */
export function keptOfPair(first: number, second: number, room: number): KeptTokens {
  if (first + second <= room) return { first, second };
  const shorter = Math.min(first, second);
  let fewer = shorter;
  let more = shorter > room ? shorter : Math.max(shorter, room - shorter);
  if (fewer + more > room) {
    fewer = Math.floor(room / 2);
    more = fewer + (room % 2);
  }
  return first > second ? { first: more, second: fewer } : { first: fewer, second: more };
}
