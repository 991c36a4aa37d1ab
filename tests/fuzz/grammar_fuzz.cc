// libFuzzer target: a JSON schema of arbitrary text, up to a zero byte, made into a grammar; then the bytes behind it
// choose a text of the grammar, which must never run into a dead end and must be JSON where it is whole.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "model/byte_grammar.h"
#include "model/json_grammar.h"
#include "schema/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using slm::model::ByteAutomaton;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const size_t zero = text.find('\0');
  const auto schema = slm::parse_json(text.substr(0, zero));
  if (!schema) return 0;
  const auto grammar = slm::model::json_grammar(*schema);
  if (!grammar) return 0;
  const std::string choices = zero == std::string::npos ? std::string() : text.substr(zero + 1, 300);
  ByteAutomaton automaton(*grammar);
  auto state = automaton.start();
  std::string made;
  for (const char choice : choices) {
    // The chosen byte, else the next one that the grammar takes.
    auto next = ByteAutomaton::kDead;
    unsigned byte = static_cast<uint8_t>(choice);
    for (int i = 0; i < 256 && next == ByteAutomaton::kDead; ++i, byte = (byte + 1) % 256) {
      next = automaton.step(state, static_cast<uint8_t>(byte));
      if (next != ByteAutomaton::kDead) made += static_cast<char>(byte);
    }
    if (next == ByteAutomaton::kDead) {
      if (!automaton.accepting(state)) abort();
      break;
    }
    state = next;
  }
  if (automaton.accepting(state) && !slm::parse_json(made)) abort();
  return 0;
}
