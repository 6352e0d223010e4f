/**
 * What both ends of a ring's HTTP/2 connection have in common. The ring speaks gRPC over node's own HTTP/2: a library that
 * hands out whole messages copies each of them twice on either side, and makes memory for it anew every time.
 */
import { clearInterval, setInterval, setTimeout } from "node:timers";
import type { Http2Session } from "node:http2";
import { RingService } from "../../proto/gen/ringmaster/v1/ring_pb.ts";
import { keepaliveMs, keepaliveTimeoutMs } from "../../proto/limits.ts";

/** Path of the only method. */
export const pullPath = `/${RingService.typeName}/${RingService.method.pull.name}`;

/** Type of gRPC messages. */
export const grpcContentType = "application/grpc+proto";

/** Both sides count their own memory; node's limit would end connections whose windows are wide. */
export const sessionMemoryMax = Number.MAX_SAFE_INTEGER;

/** Both sides of a ring are this program: no older version of TLS is needed. */
export const ringTlsVersion = "TLSv1.3";

/**
 * Pings the other side as long as the session lives, and destroys the session when no answer comes.
 * @returns ends that
 */
export function keepAlive(session: Http2Session): () => void {
  const lost = (): void => session.destroy(new Error("the other side does not answer pings"));
  const silences = new Set<NodeJS.Timeout>();
  const answered = (silence: NodeJS.Timeout): void => {
    clearTimeout(silence);
    silences.delete(silence);
  };
  const timer = setInterval(() => {
    const silence = setTimeout(lost, keepaliveTimeoutMs);
    silences.add(silence);
    silence.unref();
    const sent = !session.destroyed && session.ping(() => answered(silence));
    if (!sent) answered(silence);
  }, keepaliveMs);
  timer.unref();
  const end = (): void => {
    clearInterval(timer);
    for (const silence of silences) answered(silence);
  };
  session.once("close", end);
  return end;
}
