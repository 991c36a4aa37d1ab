// Answers of a model without a mind of its own, kept to a grammar, and whether they are valid under a schema.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <valijson/adapters/boost_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>
#include <vector>

#include "core/random.h"
#include "model/token_mask.h"
#include "schema/json.h"

namespace slm::model {

// valijson knows the drafts up to 7, where a list of `items` stood for prefixItems.
inline json::value as_draft_7(const json::value& schema) {
  json::value out = schema;
  if (auto* list = out.if_array())
    for (auto& item : *list) item = as_draft_7(item);
  auto* object = out.if_object();
  if (object == nullptr) return out;
  for (auto& item : *object) item.value() = as_draft_7(item.value());
  if (object->contains("prefixItems")) {
    const json::value rest = object->contains("items") ? object->at("items") : json::value(true),
                      first = object->at("prefixItems");
    (*object)["additionalItems"] = rest;
    (*object)["items"] = first;
    object->erase("prefixItems");
  }
  return out;
}

inline bool valid(const json::value& schema, const json::value& value) {
  const json::value draft_7 = as_draft_7(schema);
  valijson::Schema compiled;
  valijson::SchemaParser().populateSchema(valijson::adapters::BoostJsonAdapter(draft_7), compiled);
  return valijson::Validator().validate(compiled, valijson::adapters::BoostJsonAdapter(value), nullptr);
}

struct Sampled {
  std::vector<int32_t> ids;
  bool ended = false;
};

// At each step one of the allowed tokens, all alike: what logits drawn anew each time give at any temperature.
inline Sampled sample(TokenMask& mask, const Vocabulary& vocabulary, Prng& random, size_t limit) {
  Sampled out;
  TokenMask::Cursor cursor;
  while (out.ids.size() < limit) {
    const auto bits = mask.allowed(cursor);
    int32_t id = -1;
    for (int attempt = 0; attempt < 64 && id < 0; ++attempt) {
      const auto drawn = static_cast<int32_t>(random.below(vocabulary.n_ids()));
      if (TokenMask::has(*bits, drawn)) id = drawn;
    }
    if (id < 0) {
      std::vector<int32_t> all;
      for (size_t i = 0; i < vocabulary.n_ids(); ++i)
        if (TokenMask::has(*bits, static_cast<int32_t>(i))) all.push_back(static_cast<int32_t>(i));
      if (all.empty()) break;
      id = all[random.below(all.size())];
    }
    EXPECT_TRUE(mask.accept(cursor, id));
    const auto ends = vocabulary.end_ids();
    if (std::find(ends.begin(), ends.end(), id) != ends.end()) {
      out.ended = true;
      break;
    }
    out.ids.push_back(id);
  }
  return out;
}

}  // namespace slm::model
