// Against texts that others labelled: 1,500 synthetic ones of presidio-research (see ../shared/data/README.md). What we
// claim to find, we find there.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "schema/json.h"
#include "scrub/detect/detector.h"
#include "scrub/detect/normalise.h"

namespace slm::scrub {
namespace {

struct Span {
  std::string type;
  size_t begin, end;
};
struct Tally {
  int n_spans = 0, n_covered = 0, n_found = 0, n_right = 0;
};

TEST(Presidio, RecallAndPrecisionByType) {
  const std::filesystem::path file =
      std::filesystem::path(SLM_SOURCE_DIR) / "../shared/data/pii/presidio-synth-v2.json";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "needs ../shared/data/pii/presidio-synth-v2.json";
  const std::map<std::string_view, std::string> ours = {{"PHONE_NUMBER", "phone"}, {"EMAIL_ADDRESS", "email"},
                                                        {"CREDIT_CARD", "card"},   {"IBAN_CODE", "iban"},
                                                        {"IP_ADDRESS", "ip"},      {"PERSON", "person"}};
  const auto data = read_json_file(file);
  ASSERT_TRUE(data) << data.error().message;
  const Detector detector = *Detector::create({}, std::vector<bool>(kNumBuiltinTypes, true));
  std::map<std::string, Tally> tallies;
  for (const json::value& item : data->as_array()) {
    const std::string text(item.at("full_text").as_string());
    std::vector<size_t> offset;  // of each code point
    for (size_t at = 0; at < text.size();) {
      offset.push_back(at);
      next_char(text, at);
    }
    offset.push_back(text.size());
    std::vector<Span> spans;
    for (const json::value& s : item.at("spans").as_array()) {
      const auto type = ours.find(std::string_view(s.at("entity_type").as_string()));
      if (type == ours.end()) continue;
      spans.push_back({type->second, offset[static_cast<size_t>(s.at("start_position").as_int64())],
                       offset[static_cast<size_t>(s.at("end_position").as_int64())]});
    }
    const auto found = detector.find(text);
    for (const Span& s : spans) {
      Tally& t = tallies[s.type];
      ++t.n_spans;
      t.n_covered += std::any_of(found.begin(), found.end(), [&](const Found& f) {
        return kTypeNames[f.type] == s.type && f.begin <= s.begin && f.end >= s.end;
      });
    }
    for (const Found& f : found) {
      Tally& t = tallies[std::string(kTypeNames[f.type])];
      ++t.n_found;
      t.n_right += std::any_of(spans.begin(), spans.end(), [&](const Span& s) {
        return kTypeNames[f.type] == s.type && f.begin < s.end && f.end > s.begin;
      });
    }
  }
  const auto recall = [&](const char* type) {
    return static_cast<double>(tallies[type].n_covered) / std::max(1, tallies[type].n_spans);
  };
  const auto precision = [&](const char* type) {
    return static_cast<double>(tallies[type].n_right) / std::max(1, tallies[type].n_found);
  };
  for (const auto& [type, t] : tallies)
    fmt::print("{:8} {:4} spans, recall {:.3f}; {:4} found, precision {:.3f}\n", type, t.n_spans, recall(type.c_str()),
               t.n_found, precision(type.c_str()));
  for (const char* type : {"email", "card", "iban", "ip"}) {
    EXPECT_GE(recall(type), 0.99) << type;
    EXPECT_GE(precision(type), 0.99) << type;
  }
  // A third of its telephone numbers stand alone without separators or words; names mostly stand without context words.
  EXPECT_GE(recall("phone"), 0.75);
  EXPECT_GE(precision("phone"), 0.95);
  EXPECT_GE(recall("person"), 0.15);
  EXPECT_GE(precision("person"), 0.97);
}

}  // namespace
}  // namespace slm::scrub
