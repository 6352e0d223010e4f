/**
 * The configuration of our own nats-server, and the three parties that it knows: each may do no more than its part.
 * Credentials stand in a file that only the user can read, never on a command line. Pure.
 */

/** Passwords of the three parties. */
export interface NatsSecrets {
  readonly coordinator: string;
  readonly worker: string;
  readonly operator: string;
}

/** What the configuration says. */
export interface NatsConfig {
  readonly host: string;
  /** −1 takes a free one. */
  readonly port: number;
  /** The folder that holds everything of this server. */
  readonly folder: string;
  readonly secrets: NatsSecrets;
}

/** Names of the files within the folder. */
export const natsFiles = {
  config: "nats.conf",
  pid: "nats.pid",
  log: "nats.log",
  store: "jetstream",
} as const;

/** Bytes of event history on disk, over all runs of this server, and bytes of a message. */
const storeBytesMax = 512 * 1024 * 1024;
const payloadBytesMax = 1024 * 1024;

/** Workers listen to accepted commands and say nothing. */
const workerPermissions = {
  publish: { deny: [">"] },
  subscribe: { allow: ["ringmaster.*.control"] },
};

/** Whoever holds the control address may ask for commands, follow events and replay them. */
const operatorPermissions = {
  publish: {
    allow: [
      "ringmaster.*.command.*",
      "$JS.API.INFO",
      "$JS.API.STREAM.NAMES",
      "$JS.API.STREAM.LIST",
      "$JS.API.STREAM.INFO.*",
      "$JS.API.STREAM.MSG.GET.*",
      "$JS.API.CONSUMER.>",
      "$JS.ACK.>",
      "$JS.FC.>",
    ],
  },
  subscribe: { allow: ["ringmaster.*.event.>", "ringmaster.*.control", "_INBOX.>"] },
};

/** The configuration file's text; JSON is a subset of what nats-server reads. */
export function natsConfigText(config: NatsConfig): string {
  const { secrets, folder } = config;
  const settings = {
    server_name: "ringmaster",
    host: config.host,
    port: config.port,
    ports_file_dir: folder,
    pid_file: `${folder}/${natsFiles.pid}`,
    log_file: `${folder}/${natsFiles.log}`,
    max_payload: payloadBytesMax,
    jetstream: { store_dir: `${folder}/${natsFiles.store}`, max_file_store: storeBytesMax },
    authorization: {
      users: [
        { user: "coordinator", password: secrets.coordinator },
        { user: "worker", password: secrets.worker, permissions: workerPermissions },
        { user: "operator", password: secrets.operator, permissions: operatorPermissions },
      ],
    },
  };
  return `${JSON.stringify(settings, null, 2)}\n`;
}
