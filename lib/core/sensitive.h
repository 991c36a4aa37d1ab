// Sensitive<T>: holds text of a call or another secret so that it can't slip into a message or a log: it has no
// formatter, no stream operator and no implicit conversion. `expose()` is the one way in, and easy to search for.
#pragma once

#include <utility>

namespace slm {

template <class T>
class Sensitive {
 public:
  Sensitive() = default;
  explicit Sensitive(T value) : value_(std::move(value)) {}
  const T& expose() const { return value_; }
  T& expose() { return value_; }

 private:
  T value_{};
};

}  // namespace slm
