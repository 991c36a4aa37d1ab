#include "store/encode.h"

namespace slm::store {

Bytes labelled(std::string_view label, size_t reserve) {
  Bytes out;
  out.reserve(reserve);
  put_bytes(out, as_bytes(label));
  return out;
}

}  // namespace slm::store
