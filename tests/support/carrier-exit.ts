/** Ends with 7 while a carrier waits for ranks that never come. */
import { ExactSum } from "../../worker/exact/exact-sum.ts";
import { carrierRings } from "./carrier-rings.ts";

const { rings } = await carrierRings(3);
const [ring] = rings;
if (ring?.hasCarrier !== true) process.exit(1);
const sum = new ExactSum([10_000_000], 1);
sum.begin();
void sum.addGroup(1, 3, ring, new AbortController().signal);
// Its thread runs by then: the ranks that do not take part have windows to fill.
setTimeout(() => process.exit(7), 100);
