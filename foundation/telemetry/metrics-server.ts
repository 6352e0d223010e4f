/**
 * The page of a process: `/metrics` for Prometheus, `/healthz` (it lives) and `/readyz` (it can do its part) for whoever
 * supervises it. Read only, no secrets on it.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Registry } from "prom-client";
import { BadInput } from "../bad-input.ts";
import { formatAddress, parseListenAddress } from "./listen-address.ts";

/** Whether a process can do its part, and the reason in words. */
export interface Readiness {
  readonly ready: boolean;
  readonly reason: string;
}

/** What the page shows, and where. */
export interface MetricsServerOptions {
  readonly registry: Registry;
  /** host:port; port 0 takes a free one. */
  readonly listen: string;
  /** The flag that `listen` came from, for errors. */
  readonly flag: string;
  readonly readiness: () => Readiness;
  /** Brings figures up to date that nobody reports; called before each scrape. */
  readonly refresh?: () => void;
}

/** A page that is served. */
export interface MetricsServer {
  /** host:port that it listens on. */
  readonly address: string;
  close(): Promise<void>;
}

interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const plain = "text/plain; charset=utf-8";

async function pageOf(path: string, options: MetricsServerOptions): Promise<Page> {
  switch (path) {
    case "/metrics": {
      options.refresh?.();
      const body = await options.registry.metrics();
      return { status: 200, type: options.registry.contentType, body };
    }
    case "/healthz":
      return { status: 200, type: plain, body: "ok\n" };
    case "/readyz": {
      const { ready, reason } = options.readiness();
      return { status: ready ? 200 : 503, type: plain, body: `${reason}\n` };
    }
    default:
      return { status: 404, type: plain, body: "There are /metrics, /healthz and /readyz\n" };
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: MetricsServerOptions,
): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.writeHead(405, { allow: "GET, HEAD" }).end();
    return;
  }
  try {
    const page = await pageOf((request.url ?? "/").split("?", 1)[0] ?? "/", options);
    response.writeHead(page.status, {
      "content-type": page.type,
      "content-length": Buffer.byteLength(page.body),
      "cache-control": "no-store",
    });
    response.end(request.method === "HEAD" ? undefined : page.body);
  } catch (error) {
    response.writeHead(500, { "content-type": plain });
    response.end(`${error instanceof Error ? error.message : String(error)}\n`);
  }
}

function listenProblem(error: NodeJS.ErrnoException, options: MetricsServerOptions): Error {
  const { flag, listen } = options;
  switch (error.code ?? "unknown") {
    case "EADDRINUSE":
      return new BadInput({
        flag,
        expected: "a free port",
        found: `${listen} in use`,
        remedy: "name another one, or port 0 for any free one",
      });
    case "EACCES":
      return new BadInput({ flag, expected: "a port that we may listen on", found: listen });
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return new BadInput({ flag, expected: "an address of this machine", found: listen });
    default:
      return error;
  }
}

async function listening(server: Server, options: MetricsServerOptions): Promise<number> {
  const { host, port } = parseListenAddress(options.listen, options.flag);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(listenProblem(error, options)));
    server.listen(port, host, resolve);
  });
  const bound = server.address();
  return bound !== null && typeof bound === "object" ? bound.port : port;
}

/** Starts to serve. Throws BadInput naming the flag for a wrong address and for a port in use. */
export async function serveMetrics(options: MetricsServerOptions): Promise<MetricsServer> {
  const server = createServer((request, response) => void answer(request, response, options));
  const port = await listening(server, options);
  // The page must not keep the process alive: the run does.
  server.unref();
  return {
    address: formatAddress(parseListenAddress(options.listen, options.flag).host, port),
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
