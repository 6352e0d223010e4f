/** A link as it is, but for some of its calls. */
import type { Link } from "../../worker/ring/link.ts";

export function linkWith(
  link: Link,
  calls: Partial<Pick<Link, "send" | "flush" | "receive">>,
): Link {
  return {
    send: (chunk, signal) => link.send(chunk, signal),
    flush: (signal) => link.flush(signal),
    receive: (signal) => link.receive(signal),
    land: (landing) => link.land(landing),
    get sentBytes() {
      return link.sentBytes;
    },
    get receivedBytes() {
      return link.receivedBytes;
    },
    close: () => link.close(),
    ...calls,
  };
}
