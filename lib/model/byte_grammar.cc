#include "model/byte_grammar.h"

#include <fmt/format.h>

#include <algorithm>

namespace slm::model {
namespace {

constexpr uint32_t kUnknown = std::numeric_limits<uint32_t>::max();

void append_number(std::string& out, uint32_t number) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(number >> shift);
}

}  // namespace

uint32_t ByteGrammar::add_rule(bool deep) {
  rules_.push_back({deep, {}, kInfinite});
  return static_cast<uint32_t>(rules_.size() - 1);
}

void ByteGrammar::add_alternative(uint32_t rule, Sequence sequence) {
  rules_[rule].alternatives.push_back({std::move(sequence), 0, kInfinite});
}

uint32_t ByteGrammar::rule_of(std::vector<Sequence> alternatives) {
  const uint32_t rule = add_rule();
  for (auto& sequence : alternatives) add_alternative(rule, std::move(sequence));
  return rule;
}

ByteGrammar::Symbol ByteGrammar::bytes(const ByteSet& set) {
  const auto [at, fresh] = set_ids_.try_emplace(set, static_cast<uint32_t>(sets_.size()));
  if (fresh) sets_.push_back(set);
  return {Kind::kBytes, at->second};
}

ByteGrammar::Symbol ByteGrammar::range(uint8_t first, uint8_t last) {
  ByteSet set;
  for (unsigned b = first; b <= last; ++b) set.set(b);
  return bytes(set);
}

void ByteGrammar::text(Sequence& to, std::string_view text) {
  for (const char c : text) to.push_back(range(static_cast<uint8_t>(c), static_cast<uint8_t>(c)));
}

int ByteGrammar::height_of(const Sequence& sequence) const {
  int height = 0;
  for (const Symbol& symbol : sequence)
    if (symbol.kind == Kind::kRule || (symbol.kind == Kind::kRepeat && symbol.min > 0)) {
      const Rule& rule = rules_[symbol.value];
      height = std::max(height, rule.height + (rule.deep ? 1 : 0));
    }
  return std::min(height, kInfinite);
}

Status ByteGrammar::finish(uint32_t root) {
  root_ = root;
  symbols_.clear();
  for (Rule& rule : rules_)
    for (Alternative& alternative : rule.alternatives) {
      alternative.begin = static_cast<uint32_t>(symbols_.size());
      symbols_.insert(symbols_.end(), alternative.sequence.begin(), alternative.sequence.end());
      symbols_.push_back({});
    }
  // The least depth of each rule, by going round until nothing changes.
  for (bool changed = true; changed;) {
    changed = false;
    for (Rule& rule : rules_)
      for (Alternative& alternative : rule.alternatives) {
        const int height = height_of(alternative.sequence);
        if (height >= alternative.height) continue;
        alternative.height = height;
        rule.height = std::min(rule.height, height);
        changed = true;
      }
  }
  if (rules_[root].height > kMaxDepth)
    return fail(ErrorCode::kUnsupportedModel,
                fmt::format("the schema allows no value that nests at most {} deep", kMaxDepth),
                "give its recursion an end: an optional property, an array that may be empty, a null");
  return {};
}

size_t ByteAutomaton::NodeHash::operator()(const Node& node) const {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const uint32_t part : {node.parent, node.position, node.count, node.depth}) {
    hash = (hash ^ part) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 29;
  }
  return static_cast<size_t>(hash);
}

ByteAutomaton::ByteAutomaton(std::shared_ptr<const ByteGrammar> grammar) : grammar_(std::move(grammar)) { clear(); }

void ByteAutomaton::clear() {
  nodes_.assign(1, Node{});
  node_ids_.clear();
  seen_.assign(1, 0);
  expansion_ = 0;
  states_.clear();
  states_.emplace_back();  // kDead
  state_ids_.clear();
  start_ = kDead;
}

uint32_t ByteAutomaton::intern(const Node& node) {
  const auto [at, fresh] = node_ids_.try_emplace(node, static_cast<uint32_t>(nodes_.size()));
  if (fresh) {
    nodes_.push_back(node);
    seen_.push_back(0);
  }
  return at->second;
}

// The alternatives of a rule that can be finished within the depth bound.
void ByteAutomaton::enter(uint32_t rule_id, uint32_t parent, uint32_t depth) {
  const auto& rule = grammar_->rules_[rule_id];
  const uint32_t inner = depth + (rule.deep ? 1 : 0);
  for (const auto& alternative : rule.alternatives)
    if (static_cast<int>(inner) + alternative.height <= ByteGrammar::kMaxDepth)
      expand(intern({parent, alternative.begin, 0, inner}));
}

// Goes on from a node until every path stands before a byte set or at the end of the text.
void ByteAutomaton::expand(uint32_t id) {
  if (id == 0) {
    accepting_ = true;
    return;
  }
  if (seen_[id] == expansion_) return;
  seen_[id] = expansion_;
  const Node node = nodes_[id];
  const auto& symbol = grammar_->symbols_[node.position];
  const auto next = [&] { return Node{node.parent, node.position + 1, 0, node.depth}; };
  switch (symbol.kind) {
    case ByteGrammar::Kind::kEnd:
      expand(node.parent);
      break;
    case ByteGrammar::Kind::kBytes:
      tops_.push_back(id);
      break;
    case ByteGrammar::Kind::kRule: {
      // Nothing left to do after the rule: it returns straight to the caller, so that lists don't grow the stack.
      const bool last = grammar_->symbols_[node.position + 1].kind == ByteGrammar::Kind::kEnd;
      enter(symbol.value, last ? node.parent : intern(next()), node.depth);
      break;
    }
    case ByteGrammar::Kind::kRepeat: {
      if (node.count >= symbol.min) expand(intern(next()));
      if (node.count >= symbol.max) break;
      uint32_t count = node.count + 1;
      if (symbol.max == ByteGrammar::kNoLimit) count = std::min(count, symbol.min);
      enter(symbol.value, intern({node.parent, node.position, count, node.depth}), node.depth);
      break;
    }
  }
}

ByteAutomaton::State ByteAutomaton::intern_state() {
  if (tops_.empty() && !accepting_) return kDead;
  std::sort(tops_.begin(), tops_.end());
  std::string key(1, accepting_ ? 'e' : ' ');
  for (const uint32_t top : tops_) append_number(key, top);
  const auto [at, fresh] = state_ids_.try_emplace(std::move(key), static_cast<State>(states_.size()));
  if (fresh) {
    states_.emplace_back();
    states_.back().tops = tops_;
    states_.back().accepting = accepting_;
  }
  return at->second;
}

ByteAutomaton::State ByteAutomaton::start() {
  if (start_ != kDead) return start_;
  ++expansion_;
  tops_.clear();
  accepting_ = false;
  enter(grammar_->root_, 0, 0);
  return start_ = intern_state();
}

ByteAutomaton::State ByteAutomaton::step(State state, uint8_t byte) {
  if (state == kDead) return kDead;
  if (!states_[state].next) {
    states_[state].next = std::make_unique<std::array<State, 256>>();
    states_[state].next->fill(kUnknown);
  }
  if (const State known = (*states_[state].next)[byte]; known != kUnknown) return known;
  ++expansion_;
  tops_.clear();
  accepting_ = false;
  const std::vector<uint32_t> from = states_[state].tops;
  for (const uint32_t top : from) {
    const Node node = nodes_[top];
    if (!grammar_->sets_[grammar_->symbols_[node.position].value].test(byte)) continue;
    expand(intern({node.parent, node.position + 1, 0, node.depth}));
  }
  const State next = intern_state();
  (*states_[state].next)[byte] = next;
  return next;
}

std::string ByteAutomaton::key(State state, uint32_t n_bytes) const {
  std::string out(1, states_[state].accepting ? 'e' : ' ');
  for (const uint32_t top : states_[state].tops) {
    for (uint32_t id = top; id != 0; id = nodes_[id].parent) {
      const Node& node = nodes_[id];
      append_number(out, node.position + 1);
      append_number(out, node.depth);
      const auto& symbol = grammar_->symbols_[node.position];
      if (symbol.kind != ByteGrammar::Kind::kRepeat) continue;
      // A repetition reads at least a byte each time: bounds further off than that don't matter yet.
      append_number(out, std::min(symbol.min - std::min(symbol.min, node.count), n_bytes + 1));
      append_number(out, std::min(symbol.max - std::min(symbol.max, node.count), n_bytes + 1));
    }
    append_number(out, 0);
  }
  return out;
}

}  // namespace slm::model
