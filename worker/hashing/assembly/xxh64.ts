// XXH64 over memory, in AssemblyScript: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md, seed 0.
// One hash at a time: start, any number of whole stripes of 32 bytes, finish with what is left. Built by
// `npm run build:hashes`.

const prime1: u64 = 0x9e3779b185ebca87;
const prime2: u64 = 0xc2b2ae3d27d4eb4f;
const prime3: u64 = 0x165667b19e3779f9;
const prime4: u64 = 0x85ebca77c2b2ae63;
const prime5: u64 = 0x27d4eb2f165667c5;

let lane1: u64 = 0;
let lane2: u64 = 0;
let lane3: u64 = 0;
let lane4: u64 = 0;

@inline
function round(lane: u64, input: u64): u64 {
  return rotl<u64>(lane + input * prime2, 31) * prime1;
}

@inline
function merge(hash: u64, lane: u64): u64 {
  return (hash ^ round(0, lane)) * prime1 + prime4;
}

/** Begins a hash. */
export function start(): void {
  lane1 = prime1 + prime2;
  lane2 = prime2;
  lane3 = 0;
  lane4 = 0 - prime1;
}

/** Takes `count` stripes of 32 bytes in. */
export function stripes(data: usize, count: usize): void {
  let a = lane1;
  let b = lane2;
  let c = lane3;
  let d = lane4;
  const end = data + (count << 5);
  while (data < end) {
    a = round(a, load<u64>(data));
    b = round(b, load<u64>(data, 8));
    c = round(c, load<u64>(data, 16));
    d = round(d, load<u64>(data, 24));
    data += 32;
  }
  lane1 = a;
  lane2 = b;
  lane3 = c;
  lane4 = d;
}

/** Ends a hash of `total` bytes, of which the last `total mod 32` lie at `tail`. */
export function finish(total: u64, tail: usize): u64 {
  let hash = prime5;
  if (total >= 32) {
    hash = rotl<u64>(lane1, 1) + rotl<u64>(lane2, 7) + rotl<u64>(lane3, 12) + rotl<u64>(lane4, 18);
    hash = merge(hash, lane1);
    hash = merge(hash, lane2);
    hash = merge(hash, lane3);
    hash = merge(hash, lane4);
  }
  hash += total;
  const end = tail + <usize>(total & 31);
  for (; tail + 8 <= end; tail += 8) {
    hash = rotl<u64>(hash ^ round(0, load<u64>(tail)), 27) * prime1 + prime4;
  }
  if (tail + 4 <= end) {
    hash = rotl<u64>(hash ^ (<u64>load<u32>(tail) * prime1), 23) * prime2 + prime3;
    tail += 4;
  }
  for (; tail < end; tail++) {
    hash = rotl<u64>(hash ^ (<u64>load<u8>(tail) * prime5), 11) * prime1;
  }
  hash = (hash ^ (hash >> 33)) * prime2;
  hash = (hash ^ (hash >> 29)) * prime3;
  return hash ^ (hash >> 32);
}
