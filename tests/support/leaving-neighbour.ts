/**
 * A process whose neighbour opens a stream and then ends its connection, and that still answers the stream, as who is pulled from says its
 * last: at the moment after the end that the argument names. Prints what came of it.
 */
import { once } from "node:events";
import { connect as openSession, type ServerHttp2Stream } from "node:http2";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import { serveConnection } from "../../worker/ring/served-connection.ts";

const [, , moment = ""] = process.argv;

async function answer(stream: ServerHttp2Stream): Promise<void> {
  if (moment === "a tick later") await Promise.resolve();
  if (moment === "a turn later") await turn();
  if (moment === "when it is flushed") await sleep(2);
  if (!stream.destroyed) stream.respond({ ":status": 200 }, { endStream: true });
}

const server = createServer();
const accepted = once(server, "connection");
server.listen(0, "127.0.0.1");
await once(server, "listening");
const { port } = server.address() as AddressInfo;
const neighbour = connect(port, "127.0.0.1");
const [socket] = (await accepted) as [Socket];
const { session } = serveConnection(socket);
session.on("error", () => undefined);
const closed = new Promise<void>((resolve) => session.once("close", resolve));
const opened = new Promise<ServerHttp2Stream>((resolve) => session.once("stream", resolve));
const call = openSession("http://neighbour", { createConnection: () => neighbour });
call.on("error", () => undefined);
const request = call.request({ ":path": "/" }, { endStream: false });
request.on("error", () => undefined);
const stream = await opened;
stream.on("error", () => undefined);
if (moment === "while its own side is being shut") {
  const end = socket.end.bind(socket);
  // As where the system is slow to send: only what waits for the end has a callback.
  const slowEnd = (ended?: () => void): Socket => {
    if (ended === undefined) return end();
    void answer(stream);
    return end(() => void sleep(20).then(ended));
  };
  socket.end = slowEnd as Socket["end"];
} else {
  socket.once("end", () => void answer(stream));
}
neighbour.end();
await closed;
process.stdout.write(JSON.stringify({ isOver: session.destroyed }));
server.close();
call.destroy();
