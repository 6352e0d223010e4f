/** NATS URLs, right and wrong. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BadInput } from "../../../foundation/bad-input.ts";
import {
  connectionOptionsOf,
  describeNatsAddress,
  parseNatsAddress,
} from "../../../foundation/nats/nats-address.ts";

describe("NATS address", () => {
  it("takes a URL apart", () => {
    const rows: [url: string, server: string, credentials: object][] = [
      ["nats://host", "host:4222", {}],
      ["nats://host:80", "host:80", {}],
      ["nats://[::1]:5", "[::1]:5", {}],
      ["nats://to%2Fken@host:1", "host:1", { token: "to/ken" }],
      ["tls://me:p%40ss@host:1", "host:1", { user: "me", pass: "p@ss", tls: {} }],
    ];
    for (const [url, server, rest] of rows) {
      const options = connectionOptionsOf(parseNatsAddress(url));
      assert.deepEqual(options, { servers: server, resolve: false, ...rest });
    }
  });

  it("refuses what is none, naming the flag and no password", () => {
    for (const url of [
      "",
      "host:4222",
      "http://me:secret@host",
      "nats://me:secret@ho st",
      "nats://me:secret@host/x",
      "nats://me:secret@host:99999",
    ]) {
      assert.throws(
        () => parseNatsAddress(url),
        (error) =>
          error instanceof BadInput &&
          error.message.startsWith("--nats: expected a URL") &&
          !error.message.includes("secret"),
        url,
      );
    }
  });

  it("describes itself without credentials", () => {
    assert.equal(describeNatsAddress(parseNatsAddress("tls://me:secret@h:1")), "tls://h:1");
  });
});
