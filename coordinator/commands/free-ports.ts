/** Looks whether the ports that the user chose are free, so that a taken one is told before anything starts. */
import { createServer } from "node:net";
import { BadInput } from "../../foundation/bad-input.ts";
import type { LaunchSettings } from "../../foundation/job/settings.ts";

/** `[::1]:80` as host `::1` and port 80. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  return { host, port: Number(address.slice(colon + 1)) };
}

async function problemOf(host: string, port: number): Promise<string | null> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}

function foundText(code: string, address: string): string {
  if (code === "EADDRINUSE") return `${address} is taken`;
  if (code === "EACCES") return `no right to listen at ${address}`;
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND")
    return `no address ${address} on this machine`;
  return `${code} at ${address}`;
}

/** Throws BadInput for an address that cannot be listened at. Port 0 is always free. */
export async function checkFreePorts(
  launch: Pick<LaunchSettings, "listen" | "metricsListen">,
): Promise<void> {
  const wanted = [
    ["--listen", launch.listen],
    ["--metrics-listen", launch.metricsListen],
  ] as const;
  for (const [flag, address] of wanted) {
    const { host, port } = splitAddress(address);
    const code = await problemOf(host, port);
    if (code === null) continue;
    throw new BadInput({
      flag,
      expected: "an address that is free, such as 127.0.0.1:0",
      found: foundText(code, address),
    });
  }
  if (launch.listen === launch.metricsListen && splitAddress(launch.listen).port !== 0) {
    throw new BadInput({
      flag: "--metrics-listen",
      expected: "another address than --listen",
      found: launch.metricsListen,
    });
  }
}
