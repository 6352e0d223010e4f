/** HTTP/2's frames as bytes: what the ring itself has to know of them. Source: RFC 9113, sections 4.1 and 6. Pure. */

/** Bytes of a frame's head. */
export const frameHeadBytes = 9;
/** Bytes that a client sends before its first frame. */
export const prefaceBytes = 24;

/** Types of the frames that the ring looks at. */
export const frameTypes = { data: 0, headers: 1, settings: 4, windowUpdate: 8 } as const;
/** Flags of frames: the stream's end (DATA), an answer (SETTINGS), bytes without meaning behind the payload (DATA). */
export const frameFlags = { endStream: 1, ack: 1, padded: 8 } as const;

/** What a frame's head says. */
export interface FrameHead {
  /** Bytes of payload that follow. */
  readonly length: number;
  readonly type: number;
  readonly flags: number;
  /** 0: the connection. */
  readonly streamId: number;
}

/** A head from its bytes, of which there are `frameHeadBytes`. */
export function readFrameHead(bytes: Buffer): FrameHead {
  return {
    length: bytes.readUIntBE(0, 3),
    type: bytes.readUInt8(3),
    flags: bytes.readUInt8(4),
    streamId: bytes.readUInt32BE(5) & 0x7fffffff,
  };
}

/** A head as bytes. */
export function writeFrameHead({ length, type, flags, streamId }: FrameHead): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeadBytes);
  bytes.writeUIntBE(length, 0, 3);
  bytes.writeUInt8(type, 3);
  bytes.writeUInt8(flags, 4);
  bytes.writeUInt32BE(streamId, 5);
  return bytes;
}

/** A WINDOW_UPDATE frame: that many bytes more may be sent on the stream, or with 0 on the connection. */
export function windowUpdate(streamId: number, bytes: number): Buffer {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32BE(bytes);
  const head = { length: 4, type: frameTypes.windowUpdate, flags: 0, streamId };
  return Buffer.concat([writeFrameHead(head), payload]);
}

/** Settings that concern who sends DATA, as far as a SETTINGS frame names them. */
export interface SenderSettings {
  readonly initialWindowBytes?: number;
  readonly frameBytesMax?: number;
}

const settingNumbers = { initialWindowSize: 4, maxFrameSize: 5 } as const;
/** Bytes of a setting: its number, its value. */
const settingBytes = 6;

/** Reads the payload of a SETTINGS frame. */
export function readSettings(payload: Buffer): SenderSettings {
  let settings: SenderSettings = {};
  for (let at = 0; at + settingBytes <= payload.byteLength; at += settingBytes) {
    const value = payload.readUInt32BE(at + 2);
    const number = payload.readUInt16BE(at);
    if (number === settingNumbers.initialWindowSize)
      settings = { ...settings, initialWindowBytes: value };
    if (number === settingNumbers.maxFrameSize) settings = { ...settings, frameBytesMax: value };
  }
  return settings;
}
