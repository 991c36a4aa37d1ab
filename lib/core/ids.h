// Strong identifiers. A CallId is 128 random bits; a TaskId is a permanent short string.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "core/bytes.h"

namespace slm {

struct CallId {
  std::array<uint8_t, 16> bytes{};
  auto operator<=>(const CallId&) const = default;
  std::string hex() const { return to_hex(bytes); }
};
// Errors: kBadInput unless `hex` is 32 hexadecimal digits.
Result<CallId> parse_call_id(std::string_view hex);

// A task's permanent name in storage, e.g. "t03". Never reused, also not after a merge.
struct TaskId {
  std::string value;
  auto operator<=>(const TaskId&) const = default;
};

}  // namespace slm

template <>
struct std::hash<slm::CallId> {
  size_t operator()(const slm::CallId& id) const noexcept {
    size_t h;
    std::memcpy(&h, id.bytes.data(), sizeof h);  // the bits are random already
    return h;
  }
};
template <>
struct std::hash<slm::TaskId> {
  size_t operator()(const slm::TaskId& id) const noexcept { return std::hash<std::string>{}(id.value); }
};
