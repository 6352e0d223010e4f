/**
 * `host:port` as flags give it, for servers that listen.
 */
import { BadInput } from "../bad-input.ts";

/** Where to listen. */
export interface ListenAddress {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

const portMax = 65_535;

/** Reads `127.0.0.1:9464`, `[::1]:9464` or `:9464` (every address). Throws BadInput naming the flag. */
export function parseListenAddress(text: string, flag: string): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:\s]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > portMax) {
    throw new BadInput({ flag, expected: "host:port such as 127.0.0.1:9464", found: text });
  }
  const host = match[1] ?? match[2] ?? "";
  return { host: host === "" ? "::" : host, port };
}

/** host:port, an IPv6 address in brackets. */
export function formatAddress(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
