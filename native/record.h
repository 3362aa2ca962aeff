// The owner record: what the holder says of itself, for people to read.
#pragma once

#include <cstddef>
#include <string>

namespace kernel_lock {

// One page, written in one call, so that a record replaces the one before it whole.
constexpr size_t kRecordBytes = 4096;

// Byte 0 is a space (it is the byte that Windows locks), then
// `head + "acquiredAt":"…" + tail + }`, then spaces up to a final newline. `head` ends
// with the comma before `acquiredAt`; `tail` is empty or starts with a comma.
// Returns false where that does not fit.
bool compose_record(char (&record)[kRecordBytes], const std::string& head, const std::string& tail);

}  // namespace kernel_lock
