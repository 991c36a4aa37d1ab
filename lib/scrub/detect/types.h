// Kinds of private data, and what is done with each. The built-in ones come first; rules of the user's own add more.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace slm::scrub {

// Index of a type: a built-in one, or kNumBuiltinTypes + the number of the user's rule.
using TypeIndex = uint16_t;

enum BuiltinType : TypeIndex {
  kEmail,
  kPhone,
  kCard,
  kIban,
  kIp,
  kUrlCredential,
  kPrivateKey,
  kJwt,
  kCloudKey,
  kModelKey,
  kPerson,
  kNumBuiltinTypes,
};
inline constexpr std::array<std::string_view, kNumBuiltinTypes> kTypeNames = {
    "email", "phone", "card", "iban", "ip", "url_credential", "private_key", "jwt", "cloud_key", "model_key", "person"};

enum class Action : uint8_t {
  kSurrogate,  // an invented value of the same shape, the same one for the same value of one session
  kMask,       // [EMAIL_1], numbered within the session
  kRemove,     // nothing in its place
  kNone,       // found and counted, left as it is
};
inline constexpr std::array<std::string_view, 4> kActionNames = {"surrogate", "mask", "remove", "none"};
inline std::string_view action_name(Action action) { return kActionNames[static_cast<size_t>(action)]; }
inline std::optional<Action> parse_action(std::string_view name) {
  for (size_t i = 0; i < kActionNames.size(); ++i)
    if (kActionNames[i] == name) return static_cast<Action>(i);
  return std::nullopt;
}

// A value found in a text: bytes [begin, end) of it.
struct Found {
  size_t begin = 0, end = 0;
  TypeIndex type = kEmail;
  // Found by what stands around it; elsewhere in the session the bare value counts as well.
  bool by_context = false;
  // A name told by a greeting or a signature alone.
  bool courtesy = false;
};

}  // namespace slm::scrub
