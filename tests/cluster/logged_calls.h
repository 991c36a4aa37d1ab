// Calls of a log file, read by the dialects, without a store.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "call/dialects/dialect.h"
#include "core/file.h"

namespace slm::cluster {

class CallList final : public dialects::CallSink {
 public:
  bool call(const dialects::LoggedCall& logged) override {
    if (logged.failure.empty()) calls.push_back(logged.call);
    return true;
  }
  void skip(std::string_view) override {}
  std::vector<Call> calls;
};

inline void add_record(CallList& list, json::value record) {
  if (const auto* dialect = dialects::recognise(record)) dialect->parse(record, list);
}

// A file that is one array of records.
inline std::vector<Call> calls_of_array(const std::filesystem::path& path) {
  CallList list;
  auto data = read_json_file(path).value();
  for (auto& record : data.as_array()) add_record(list, std::move(record));
  return std::move(list.calls);
}

// A file of one record a line.
inline std::vector<Call> calls_of_lines(const std::filesystem::path& path) {
  CallList list;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);)
    if (auto record = parse_json(line)) add_record(list, std::move(*record));
  return std::move(list.calls);
}

}  // namespace slm::cluster
