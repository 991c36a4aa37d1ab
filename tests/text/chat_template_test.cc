#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "core/bytes.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/random.h"
#include "schema/json.h"
#include "text/test_paths.h"

namespace slm::text {
namespace {

std::string str(const json::value& value) { return std::string(value.as_string()); }

class ChatTemplateTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto file = read_json_file(test_data() / "text/conversations.json");
    ASSERT_TRUE(file) << file.error().message;
    data_ = file->as_object();
  }
  RenderOptions options(bool prompt, size_t extra = 0) const {
    RenderOptions out;
    out.add_generation_prompt = prompt;
    out.now_ms = data_.at("now_ms").as_int64();
    out.variables = data_.at("variables").as_object();
    for (const auto& item : data_.at("extras").as_array().at(extra).as_object())
      out.variables[item.key()] = item.value();
    return out;
  }
  const json::array& conversation(std::string_view name) const {
    return data_.at("conversations").as_object().at(name).as_array();
  }
  const json::array& tools() const { return data_.at("tools").as_array(); }
  // With one user message, no tools.
  Result<std::string> render(std::string source) const {
    auto parsed = ChatTemplate::parse(std::move(source));
    if (!parsed) return fail(parsed.error());
    return parsed->render(conversation("user"), {}, options(true));
  }
  json::object data_;
};

// Renderings recorded from jinja2 3.1.6 in transformers' environment (scripts/interop/templates.py).
TEST_F(ChatTemplateTest, SnippetsRenderAsPythonDoes) {
  const auto file = read_json_file(test_data() / "text/template_snippets.json");
  ASSERT_TRUE(file) << file.error().message;
  size_t n = 0;
  for (const auto& value : file->as_array()) {
    const auto& row = value.as_object();
    const std::string source = str(row.at("template"));
    ++n;
    const auto parsed = ChatTemplate::parse(source);
    const auto rendered =
        parsed ? parsed->render(conversation("tool_call_object"), tools(), options(true)) : fail(parsed.error());
    if (row.contains("fails")) {
      EXPECT_FALSE(rendered) << source << "\n  gave: " << *rendered << "\n  Python: " << str(row.at("fails"));
    } else {
      ASSERT_TRUE(row.contains("rendering"));
      if (rendered) {
        EXPECT_EQ(*rendered, str(row.at("rendering"))) << source;
      } else {
        ADD_FAILURE() << source << "\n  failed: " << rendered.error().message;
      }
    }
  }
  EXPECT_GE(n, 500u);
}

TEST_F(ChatTemplateTest, RealTemplatesRenderAsPythonDoes) {
  // scripts/interop/text.sh points these elsewhere.
  const auto folder_of = [](const char* variable, const std::filesystem::path& otherwise) {
    const char* value = std::getenv(variable);
    return value == nullptr ? otherwise : std::filesystem::path(value);
  };
  const auto folder = folder_of("SLMCONV_INTEROP_TEMPLATES", outside_data() / "chat-templates");
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is absent";
  const auto file =
      read_json_file(folder_of("SLMCONV_INTEROP_RENDERINGS", test_data() / "text") / "template_renderings.json");
  ASSERT_TRUE(file) << file.error().message;
  std::map<std::string, ChatTemplate> templates;
  int n_same = 0, n_refused = 0;
  for (const auto& value : file->as_array()) {
    const auto& row = value.as_array();
    const std::string name = str(row[0]);
    if (templates.find(name) == templates.end()) {
      auto source = read_file(folder / name);
      ASSERT_TRUE(source) << source.error().message;
      auto parsed = ChatTemplate::parse(*source);
      ASSERT_TRUE(parsed) << name << ": " << parsed.error().message;
      templates.emplace(name, std::move(*parsed));
    }
    const std::string what = json::serialize(row);
    const auto rendered =
        templates.at(name).render(conversation(str(row[1])), row[2].as_bool() ? tools() : json::array(),
                                  options(row[3].as_bool(), static_cast<size_t>(row[4].as_int64())));
    if (row[5].is_null()) {
      EXPECT_FALSE(rendered) << what;
      ++n_refused;
      continue;
    }
    ASSERT_TRUE(rendered) << what << ": " << rendered.error().message;
    EXPECT_EQ(static_cast<int64_t>(rendered->size()), row[6].as_int64()) << what;
    EXPECT_EQ(to_hex(sha256(as_bytes(*rendered))), str(row[5])) << what << "\n" << *rendered;
    ++n_same;
  }
  RecordProperty("n_same", n_same);
  RecordProperty("n_refused", n_refused);
  EXPECT_GE(n_same, 800);
  EXPECT_GE(n_refused, 100);
}

TEST_F(ChatTemplateTest, ErrorsNameLineAndWordsOfTheTemplateOnly) {
  const auto unknown = ChatTemplate::parse("a\n{{ x | nosuchfilter }}");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kUnsupportedModel);
  EXPECT_NE(unknown.error().message.find("line 2"), std::string::npos) << unknown.error().message;
  EXPECT_NE(unknown.error().message.find("nosuchfilter"), std::string::npos);

  const auto refused = render("\n\n{{ raise_exception('no role ' ~ messages[0].content ~ ' here') }}");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBadInput);
  EXPECT_NE(refused.error().message.find("line 3"), std::string::npos) << refused.error().message;
  EXPECT_NE(refused.error().message.find("no role "), std::string::npos);
  EXPECT_EQ(refused.error().message.find("A-1042"), std::string::npos) << "text of a message was shown";

  // The key that isn't there comes from a message.
  const auto missing = render("{{ {'a': 1}[messages[0].content].x }}");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message.find("A-1042"), std::string::npos);
}

TEST_F(ChatTemplateTest, StepsAndSizesAreBounded) {
  for (const char* source : {
           "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
           "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
           "{{ 'x' * 1000000000 }}",
           "{{ [1] * 1000000000 }}",
           "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
           "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
           "{% set ns = namespace(x=[]) %}{% for i in range(1000) %}{% set ns.x = [ns.x] %}{% endfor %}",
           "{% set s = 'a' * 1000000 %}{{ s.replace('a', s) }}",
           "{% set s = 'a' * 1000000 %}{{ s | join(s) }}",
           "{{ 'a\nb' | indent(2000000000) }}",
           "{{ 'a'.ljust(9000000000) }}",
           "{% set ns = namespace() %}{% set ns.self = ns %}",
           "{% for x in [1] %}{% set ns = namespace() %}{% set ns.l = loop %}{% endfor %}",
           "{{ '%d' % 1e30 }}",
           "{{ range('a', 2) }}",
       }) {
    const auto rendered = render(source);
    ASSERT_FALSE(rendered) << source;
    EXPECT_NE(rendered.error().code, ErrorCode::kUnexpected) << source << ": " << rendered.error().message;
  }
}

TEST_F(ChatTemplateTest, NestingIsBounded) {
  const auto repeat = [](std::string_view text, int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += text;
    return out;
  };
  for (const std::string& source : {
           "{{ " + repeat("(", 20000) + "1" + repeat(")", 20000) + " }}",
           "{{ " + repeat("[", 20000) + repeat("]", 20000) + " }}",
           "{{ " + repeat("not ", 20000) + "1 }}",
           "{{ " + repeat("-", 20000) + "1 }}",
           "{{ 1" + repeat(" + 1", 20000) + " }}",
           "{{ a" + repeat(".b", 20000) + " }}",
           "{{ a" + repeat("|upper", 20000) + " }}",
           "{{ a" + repeat("()", 20000) + " }}",
           "{{ a" + repeat(" if a else a", 20000) + " }}",
           repeat("{% if true %}", 20000) + repeat("{% endif %}", 20000),
       }) {
    const auto parsed = ChatTemplate::parse(source);
    ASSERT_FALSE(parsed) << source.substr(0, 40);
    EXPECT_EQ(parsed.error().code, ErrorCode::kUnsupportedModel);
  }
  EXPECT_FALSE(ChatTemplate::parse(std::string((1 << 20) + 1, 'x')));
  // What real templates nest is far below.
  EXPECT_TRUE(ChatTemplate::parse("{{ " + repeat("(", 30) + "1" + repeat(")", 30) + " }}"));
}

// Random bytes, and templates with bytes changed, cut out, moved and put in, never crash and never hang.
TEST_F(ChatTemplateTest, SurvivesRandomSource) {
  const auto file = read_json_file(test_data() / "text/template_snippets.json");
  ASSERT_TRUE(file);
  std::vector<std::string> sources;
  for (const auto& value : file->as_array()) sources.push_back(str(value.as_object().at("template")));
  Prng random(7);
  int n_rendered = 0;
  for (int round = 0; round < 8000; ++round) {
    std::string source;
    if (round % 8 == 0) {
      source = "{{";
      for (uint64_t i = random.below(60); i > 0; --i) source += static_cast<char>(random.below(256));
    } else {
      source = sources[random.below(sources.size())];
    }
    for (uint64_t i = 1 + random.below(3); i > 0 && !source.empty(); --i) {
      const size_t at = random.below(source.size());
      const std::string& other = sources[random.below(sources.size())];
      switch (random.below(5)) {
        case 0:
          source[at] = static_cast<char>(random.below(256));
          break;
        case 1:
          source.erase(at, 1 + random.below(8));
          break;
        case 2:
          source.insert(at, other.substr(other.empty() ? 0 : random.below(other.size()), 1 + random.below(40)));
          break;
        case 3:
          source.insert(at, source.substr(random.below(source.size()), 1 + random.below(20)));
          break;
        default:
          source.insert(at, 1, "0123456789-[](){}|.,'\"~%*"[random.below(24)]);
          break;
      }
    }
    const auto rendered = render(source);
    n_rendered += rendered.has_value();
    if (!rendered) {
      EXPECT_NE(rendered.error().code, ErrorCode::kUnexpected) << source;
      EXPECT_FALSE(rendered.error().message.empty());
    }
  }
  EXPECT_GE(n_rendered, 500);
}

TEST_F(ChatTemplateTest, OpensFromModelFolder) {
  const auto dir = scratch_dir("chat_template");
  auto opened = ChatTemplate::open(dir);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kUnsupportedModel);
  EXPECT_FALSE(opened.error().hint.empty());

  std::ofstream(dir / "tokenizer_config.json") << R"({"chat_template": "one"})";
  opened = ChatTemplate::open(dir);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(*opened->render({}, {}, {}), "one");

  std::ofstream(dir / "tokenizer_config.json")
      << R"({"chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "two"}]})";
  opened = ChatTemplate::open(dir);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(*opened->render({}, {}, {}), "two");

  std::ofstream(dir / "chat_template.jinja") << "three\n";
  opened = ChatTemplate::open(dir);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(*opened->render({}, {}, {}), "three");
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace slm::text
