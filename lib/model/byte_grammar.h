// A context-free grammar over bytes and the pushdown automaton that reads it byte by byte. What an answer may be (a
// JSON value of a schema, a tool call) is such a grammar; token_mask.h lays it over a vocabulary.
//
// A rule is a list of alternatives, an alternative a sequence of byte sets, rules and counted repetitions. A rule that
// is `deep` counts towards the depth bound while it is open: recursion goes through such rules, and an alternative that
// could not be finished within the bound is never entered, so that no state is a dead end. Every cycle of rules must
// read a byte or be deep.
// Errors: kUnsupportedModel where the root has no finite text within the bound.
// Threads: ByteGrammar: const methods may be called at once. ByteAutomaton: one call at a time.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/error.h"

namespace slm::model {

using ByteSet = std::bitset<256>;

class ByteGrammar {
 public:
  static constexpr uint32_t kNoLimit = std::numeric_limits<uint32_t>::max();
  static constexpr int kMaxDepth = 32;

  enum class Kind : uint8_t { kBytes, kRule, kRepeat, kEnd };
  struct Symbol {
    Kind kind = Kind::kEnd;
    uint32_t value = 0;         // of kBytes: which set; else which rule
    uint32_t min = 1, max = 1;  // of kRepeat
  };
  using Sequence = std::vector<Symbol>;

  uint32_t add_rule(bool deep = false);
  void add_alternative(uint32_t rule, Sequence sequence);
  // A rule of these alternatives.
  uint32_t rule_of(std::vector<Sequence> alternatives);

  Symbol bytes(const ByteSet& set);
  Symbol range(uint8_t first, uint8_t last);
  static Symbol call(uint32_t rule) { return {Kind::kRule, rule}; }
  // Requires: `rule` reads at least one byte.
  static Symbol repeat(uint32_t rule, uint32_t min, uint32_t max) { return {Kind::kRepeat, rule, min, max}; }
  // Appends the bytes of a text.
  void text(Sequence& to, std::string_view text);

  // After the last rule: lays the sequences out and finds how deep each must go.
  Status finish(uint32_t root);

 private:
  friend class ByteAutomaton;
  static constexpr int kInfinite = 1 << 20;
  struct Alternative {
    Sequence sequence;
    uint32_t begin = 0;  // in symbols_
    int height = kInfinite;
  };
  struct Rule {
    bool deep = false;
    std::vector<Alternative> alternatives;
    int height = kInfinite;
  };
  int height_of(const Sequence& sequence) const;

  std::vector<Rule> rules_;
  std::vector<ByteSet> sets_;
  std::unordered_map<ByteSet, uint32_t> set_ids_;
  std::vector<Symbol> symbols_;  // every sequence followed by kEnd
  uint32_t root_ = 0;
};

class ByteAutomaton {
 public:
  using State = uint32_t;
  static constexpr State kDead = 0;

  // Requires: grammar.finish() succeeded.
  explicit ByteAutomaton(std::shared_ptr<const ByteGrammar> grammar);
  State start();
  // The state after one more byte; kDead if no text goes on so.
  State step(State state, uint8_t byte);
  // True if the text read so far is whole.
  bool accepting(State state) const { return states_[state].accepting; }
  // States with equal keys allow the same texts of up to `n_bytes` bytes.
  std::string key(State state, uint32_t n_bytes) const;
  size_t n_states() const { return states_.size(); }
  // Forgets all states; those handed out are void.
  void clear();

 private:
  // One open sequence: where it goes on, and what called it.
  struct Node {
    uint32_t parent = 0, position = 0, count = 0, depth = 0;
    bool operator==(const Node&) const = default;
  };
  struct NodeHash {
    size_t operator()(const Node& node) const;
  };
  struct StateData {
    std::vector<uint32_t> tops;  // nodes that stand before a byte set
    bool accepting = false;
    std::unique_ptr<std::array<State, 256>> next;
  };
  uint32_t intern(const Node& node);
  void expand(uint32_t id);
  void enter(uint32_t rule, uint32_t parent, uint32_t depth);
  State intern_state();

  std::shared_ptr<const ByteGrammar> grammar_;
  std::vector<Node> nodes_;  // 0 is the bottom of every stack
  std::unordered_map<Node, uint32_t, NodeHash> node_ids_;
  std::vector<uint32_t> seen_;  // per node: the last expansion that visited it
  uint32_t expansion_ = 0;
  std::vector<uint32_t> tops_;  // of the expansion under way
  bool accepting_ = false;
  std::vector<StateData> states_;
  std::unordered_map<std::string, State> state_ids_;
  State start_ = kDead;
};

}  // namespace slm::model
