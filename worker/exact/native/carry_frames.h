// A carrier's messages on the wire: gRPC over HTTP/2, one message a DATA frame. What ../../ring/data-sender.ts, grpc-frames.ts and
// ../../../proto/pull-response.ts write, byte by byte. Sources: RFC 9113, sections 4.1 and 6; "gRPC over HTTP2" (PROTOCOL-HTTP2.md of
// the gRPC repository).
#pragma once
#include <cstdint>

namespace ringmaster {

constexpr uint32_t kFrameHeadBytes = 9;
enum : uint8_t { kDataFrame = 0, kResetFrame = 3, kGoAwayFrame = 7, kWindowFrame = 8 };

inline uint32_t ReadBigEndian(const uint8_t *from, int bytes) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; i++) value = value << 8 | from[i];
  return value;
}

// Some bytes, written from the front.
struct ByteWriter {
  uint8_t *at;

  void BigEndian(uint32_t value, int bytes) {
    while (bytes-- > 0) *at++ = static_cast<uint8_t>(value >> 8 * bytes);
  }
  void Varint(uint64_t value) {
    for (; value > 127; value >>= 7) *at++ = static_cast<uint8_t>(value | 128);
    *at++ = static_cast<uint8_t>(value);
  }
  // A field that is left out where it is 0.
  void Field(uint8_t tag, uint64_t value) {
    if (value == 0) return;
    *at++ = tag;
    Varint(value);
  }
  void FrameHead(uint32_t length, uint8_t type, uint32_t stream) {
    BigEndian(length, 3), BigEndian(type, 1), BigEndian(0, 1), BigEndian(stream, 4);
  }
};

// What a message says before its payload.
struct MessageFields {
  uint64_t generation, collective, hop, offset, bytes;
};

// Everything before a message's payload.
struct MessageHead {
  uint8_t data[96];
  uint32_t size;
  // Bytes that the frame takes of a window.
  uint32_t frame_bytes;

  MessageHead() : size(0), frame_bytes(0) {}
  MessageHead(uint32_t stream, const MessageFields &fields) {
    constexpr uint32_t kPrefixBytes = 5;
    uint8_t *const message = data + kFrameHeadBytes + kPrefixBytes;
    ByteWriter body = {message};
    body.Field(0x08, fields.generation), body.Field(0x10, fields.collective), body.Field(0x18, fields.hop), body.Field(0x20, fields.offset);
    *body.at++ = 0x2a;
    body.Varint(fields.bytes);
    const uint32_t message_bytes = static_cast<uint32_t>(body.at - message + fields.bytes);
    size = static_cast<uint32_t>(body.at - data), frame_bytes = kPrefixBytes + message_bytes;
    ByteWriter front = {data};
    front.FrameHead(frame_bytes, kDataFrame, stream);
    front.BigEndian(0, 1), front.BigEndian(message_bytes, 4);
  }
};

}  // namespace ringmaster
