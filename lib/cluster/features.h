// What clustering reads of a call, and how that becomes a vector.
//
// A request's vector has five blocks, each of length √weight or, where it has nothing to say, zero; the whole has
// length 1:
//   key     which known call site, system-prompt template and tool set it comes from (one coordinate each)
//   system  the system prompt's text, for templates that differ a little or are new
//   state   where an agent loop stands: who spoke last, which tool answered, which tools were called before
//   context the last assistant turn before it: what a "yes" answers
//   delta   the text that this call added to its conversation (the messages after the last assistant turn)
// What all calls share says nothing and gets no coordinate, so a log of one agent is told apart by state, context and
// delta alone, and a log of many call sites mostly by key. The action block (what the answer did) is for discovery
// only.
//
// Shapes: request vectors [D] with D = width(); action vectors [A].
// Units: weights are shares of the squared length. Digits are masked to 0 in every text.
// Errors: kBadInput, kFormatTooNew on damaged or newer bytes.
// Threads: const after fit.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "call/call.h"
#include "core/bytes.h"
#include "embed/text_embedder.h"

namespace slm::cluster {

using WeightedToken = std::pair<uint64_t, float>;  // hash, weight

struct RequestText {
  std::string system, context, delta;  // masked
  std::vector<WeightedToken> key, state;
  uint64_t site = 0, instruction = 0;  // call-site label (0: none); system-prompt template, a short one with its tools
  int n_turns = 0;                     // assistant turns before this call
  uint64_t head = 0;                   // first words of an opening message: templates written into it; 0 if it has few
  bool has_instruction = false;        // a system prompt, tools or a site label say what the call is for
};
RequestText read_request(const Request& request);

// What an answer did: "tool NAME", "json" or "text"; "" for none.
std::string action_of(const CallBody& body);

struct FeatureOptions {
  uint64_t seed = 1;
  float key_weight = 0.9f, system_weight = 0.3f, state_weight = 0.4f, context_weight = 0.15f, delta_weight = 0.3f;
  size_t delta_rank = 200, context_rank = 64, system_rank = 32;
};

// One coordinate a known token; tokens that nearly all or very few calls have are left out.
class TokenTable {
 public:
  static TokenTable fit(const std::vector<const std::vector<WeightedToken>*>& calls);
  size_t width() const { return tokens_.size(); }
  // Writes width() floats of length 1; false where no token is known (then they are zero).
  bool embed(const std::vector<WeightedToken>& tokens, float* out) const;

  void serialise(Bytes& out) const;
  static Result<TokenTable> parse(ByteSpan in, size_t& pos);

 private:
  std::vector<uint64_t> tokens_;  // ascending
};

class Featuriser {
 public:
  static Result<Featuriser> fit(const std::vector<const RequestText*>& sample, const FeatureOptions& options);
  size_t width() const { return key_.width() + system_.width() + state_.width() + context_.width() + delta_.width(); }
  // Writes width() floats; zero if nothing of the request is known.
  void embed(const RequestText& request, float* out) const;

  void serialise(Bytes& out) const;
  static Result<Featuriser> parse(ByteSpan in, size_t& pos);

 private:
  float key_weight_ = 0, system_weight_ = 0, state_weight_ = 0, context_weight_ = 0, delta_weight_ = 0;
  TokenTable key_, state_;
  embed::TextEmbedder system_, context_, delta_;
};

}  // namespace slm::cluster
