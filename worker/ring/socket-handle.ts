/**
 * The descriptor of a socket, for code that reads and writes it without node. Node has no public way to it: where what is looked for is not
 * there, there is none.
 */
import type { Socket } from "node:net";
import { z } from "zod";

const call = z.custom<() => unknown>((value) => typeof value === "function");
const handleSchema = z.looseObject({ fd: z.int().nonnegative(), readStop: call });

/** Has node read a plain socket no further, and gives its descriptor, which stays node's to close; null where it cannot be had. */
export function takeDescriptor(socket: Socket): number | null {
  const handle: unknown = Reflect.get(socket, "_handle");
  const parsed = handleSchema.safeParse(handle);
  if (!parsed.success) return null;
  socket.pause();
  parsed.data.readStop.call(handle);
  return parsed.data.fd;
}
