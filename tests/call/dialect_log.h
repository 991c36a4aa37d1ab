// Reads records through a dialect and keeps what comes out.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "call/dialects/dialect.h"

namespace slm::dialects {

struct Kept : CallSink {
  std::vector<LoggedCall> calls;
  std::vector<std::string> skipped;
  size_t want = SIZE_MAX;
  bool call(const LoggedCall& logged) override {
    calls.push_back(logged);
    return calls.size() < want;
  }
  void skip(std::string_view reason) override { skipped.emplace_back(reason); }
};

inline json::value json_of(std::string_view text) {
  auto value = parse_json(text);
  EXPECT_TRUE(value.has_value()) << text;
  return value.value_or(json::value());
}

// The reason the record gives, with the dialect found by itself.
inline std::string_view read(std::string_view text, Kept& kept) {
  json::value record = json_of(text);
  const Dialect* dialect = recognise(record);
  return dialect == nullptr ? "unknown_format" : dialect->parse(record, kept);
}

inline std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream in(std::string(SLM_SOURCE_DIR) + "/" + path);
  EXPECT_TRUE(in.good()) << path;
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace slm::dialects
