/** A link as it is, but for what is sent. */
import type { Link } from "../../worker/ring/link.ts";

export function sendingBy(link: Link, send: Link["send"]): Link {
  return {
    send,
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
  };
}
