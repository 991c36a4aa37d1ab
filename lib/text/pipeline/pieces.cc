#include "text/pipeline/pieces.h"

#include "core/utf8.h"

namespace slm::text::pipeline {
namespace {

bool stands_for_itself(int b) { return (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff); }

struct Map {
  std::array<std::string, 256> characters;
  std::array<int, 512> bytes;
};

Map make_map() {
  Map map;
  map.bytes.fill(-1);
  char32_t next = 0x100;
  for (int b = 0; b < 256; ++b) {
    const char32_t c = stands_for_itself(b) ? static_cast<char32_t>(b) : next++;
    append_utf8(map.characters[static_cast<size_t>(b)], c);
    map.bytes[c] = b;
  }
  return map;
}

const Map& byte_map() {
  static const Map map = make_map();
  return map;
}

}  // namespace

const std::array<std::string, 256>& byte_characters() { return byte_map().characters; }

int byte_of_character(char32_t c) { return c < 512 ? byte_map().bytes[c] : -1; }

}  // namespace slm::text::pipeline
