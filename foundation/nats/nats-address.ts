/**
 * A NATS URL taken apart: nats.js wants the credentials that a URL carries as options of their own.
 */
import type { ConnectionOptions } from "nats";
import { BadInput } from "../bad-input.ts";

/** Where a NATS server is and who we are to it. */
export interface NatsAddress {
  /** host:port; 4222 where the URL names no port. */
  readonly server: string;
  readonly tls: boolean;
  readonly credentials:
    | { readonly kind: "none" }
    | { readonly kind: "token"; readonly token: string }
    | { readonly kind: "user"; readonly user: string; readonly password: string };
}

const defaultPort = "4222";

/**
 * Reads `nats://[user:password@|token@]host[:port]` or `tls://…`. Throws BadInput naming `flag`, without repeating
 * credentials.
 */
export function parseNatsAddress(url: string, flag = "--nats"): NatsAddress {
  const expected = "a URL such as nats://host:4222 or tls://user:password@host:4222";
  const match = /^(nats|tls):\/\/(.*)$/.exec(url.trim());
  if (match === null) {
    throw new BadInput({ flag, expected, found: url.replace(/[^/@]*@/, "…@") });
  }
  // URL knows no default port for http here that NATS would use: 80 alone would be eaten, and is put back below.
  let parsed: URL;
  try {
    parsed = new URL(`http://${match[2] ?? ""}`);
  } catch {
    throw new BadInput({ flag, expected, found: url.replace(/[^/@]*@/, "…@") });
  }
  if (parsed.pathname !== "/" || parsed.search !== "" || parsed.hash !== "") {
    throw new BadInput({ flag, expected, found: `something behind the port of ${parsed.host}` });
  }
  const eaten = /:80\/?$/.test(url.trim()) ? "80" : "";
  const port = parsed.port || eaten || defaultPort;
  const user = decodeURIComponent(parsed.username);
  const password = decodeURIComponent(parsed.password);
  return {
    server: `${parsed.hostname}:${port}`,
    tls: match[1] === "tls",
    credentials:
      user === ""
        ? { kind: "none" }
        : password === ""
          ? { kind: "token", token: user }
          : { kind: "user", user, password },
  };
}

/** The address without credentials, for people. */
export function describeNatsAddress(address: NatsAddress): string {
  return `${address.tls ? "tls" : "nats"}://${address.server}`;
}

/** The address as options of nats.js. */
export function connectionOptionsOf(address: NatsAddress): ConnectionOptions {
  const { credentials } = address;
  return {
    servers: address.server,
    // A name is looked up at every attempt: the server behind it may have moved.
    resolve: false,
    ...(address.tls ? { tls: {} } : {}),
    ...(credentials.kind === "token" ? { token: credentials.token } : {}),
    ...(credentials.kind === "user" ? { user: credentials.user, pass: credentials.password } : {}),
  };
}
