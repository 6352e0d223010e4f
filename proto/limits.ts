/**
 * Every limit of the protocol, with its unit and its reason. Both programs read them here, so that what one side sends
 * the other side accepts. The table in `proto/README.md` says the same for people.
 */

/** Largest gRPC message in bytes, either way: a state chunk, a ring chunk, or one microbatch of long texts fits. */
export const messageBytesMax = 16 * 1024 * 1024;

/** Bytes of state in one StateChunk: large enough to stream at memory speed, small enough to keep latency low. */
export const stateChunkBytes = 1024 * 1024;

/** Most bytes of payload in one PullResponse: what a message costs beside its bytes is small, four of them fit a window. */
export const ringChunkBytes = 4 * 1024 * 1024;

/** HTTP/2 receive window that a client opens for what it pulls, in bytes (a server's window stays at 64 KiB). */
export const receiveWindowBytes = 16 * 1024 * 1024;

/** Characters of a text that is sent to a worker; longer texts are cut, far beyond any model's position table. */
export const sampleCharactersMax = 262_144;

/** Random bytes of a challenge. */
export const nonceBytes = 32;

/** Challenges that wait for their Join at any one time; the oldest is forgotten first. */
export const pendingNoncesMax = 1024;

/** Age at which an unanswered challenge is forgotten, in milliseconds. */
export const nonceLifetimeMs = 60_000;

/** Members of a run. */
export const workersMax = 1024;

/** Silence after which a worker is taken for lost, in milliseconds. */
export const leaseMs = 30_000;

/** A worker's heartbeat interval, in milliseconds: several fit into a lease. */
export const heartbeatMs = 1_000;

/** Deadline of a unary call, in milliseconds. */
export const unaryDeadlineMs = 20_000;

/** Interval of HTTP/2 pings on idle and busy connections alike, in milliseconds. */
export const keepaliveMs = 10_000;

/** Time that a peer has to answer a ping, in milliseconds. */
export const keepaliveTimeoutMs = 10_000;

/** Directives that wait for one worker to read them; a worker that reads none is taken for lost. */
export const directiveQueueMax = 256;

/** Characters of any free text in a report (a failure's message, detail, a state), the rest is cut. */
export const reportTextMax = 65_536;
