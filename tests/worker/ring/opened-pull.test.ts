/** A pull that ends while its connection is being made, and one whose other side makes no sense. */
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { createServer } from "node:http2";
import { createServer as createPlain, Socket, type AddressInfo } from "node:net";
import { nextTick } from "node:process";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { PullRequestSchema } from "../../../proto/gen/ringmaster/v1/ring_pb.ts";
import { frameFlags, writeFrameHead } from "../../../worker/ring/http2-frames.ts";
import { OpenedPull, type PullOptions } from "../../../worker/ring/opened-pull.ts";

function optionsOf(port: number, hears: Pick<PullOptions, "accepted" | "lost">): PullOptions {
  return {
    address: `127.0.0.1:${port}`,
    tls: null,
    metadata: {},
    opening: create(PullRequestSchema, { run: "cancelled" }),
    frames: {
      bytesMax: 1024,
      take: (length) => [new Uint8Array(length)],
      message: () => undefined,
    },
    ...hears,
  };
}

/** Hears of the one TCP connection that `open` begins. */
function socketOf(open: () => void): Socket {
  const made: Socket[] = [];
  const keep = (message: unknown): void => {
    if (typeof message !== "object" || message === null || !("socket" in message)) return;
    if (message.socket instanceof Socket) made.push(message.socket);
  };
  subscribe("net.client.socket", keep);
  open();
  unsubscribe("net.client.socket", keep);
  const [socket] = made;
  assert.ok(socket !== undefined, "the pull has begun to connect");
  return socket;
}

describe("a pull", () => {
  it("may be cancelled between its socket's connecting and its session's", async (t) => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    t.after(() => server.close());
    const lost: string[] = [];
    let pull: OpenedPull | null = null;
    const socket = socketOf(() => {
      const hears = {
        accepted: () => lost.push("accepted"),
        lost: (why: string) => lost.push(why),
      };
      pull = new OpenedPull(optionsOf(port, hears));
    });
    // The session tells of the connection a tick after the socket; this tick is the one before.
    socket.prependOnceListener("connect", () => nextTick(() => pull?.cancel()));
    await once(socket, "close");
    await setImmediate();
    assert.deepEqual(lost, []);
  });

  const data = { type: 0, streamId: 1 } as const;
  const senseless = [
    { what: "DATA that is longer than announced", length: 16_385, flags: 0, why: /has no room/ },
    { what: "padded DATA", length: 9, flags: frameFlags.padded, why: /padded/ },
  ];
  for (const { what, length, flags, why } of senseless) {
    it(`is lost to a server that sends ${what}`, async (t) => {
      const server = createPlain((socket) => {
        socket.on("error", () => undefined);
        const settings = writeFrameHead({ length: 0, type: 4, flags: 0, streamId: 0 });
        socket.write(Buffer.concat([settings, writeFrameHead({ ...data, length, flags })]));
      }).listen(0, "127.0.0.1");
      await once(server, "listening");
      t.after(() => server.close());
      const { port } = server.address() as AddressInfo;
      const lost = await new Promise<string>((resolve) => {
        void new OpenedPull(optionsOf(port, { accepted: () => undefined, lost: resolve }));
      });
      assert.match(lost, why);
    });
  }
});
