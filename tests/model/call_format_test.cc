#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>

#include "core/file.h"
#include "core/random.h"
#include "model/call_templates.h"
#include "model/call_text.h"
#include "model/conversation.h"
#include "text/test_paths.h"

namespace slm::model {
namespace {

// A template with what is found out about it; texts only, no tokenizer.
class Family {
 public:
  static std::optional<Family> open(const std::string& source) {
    auto parsed = text::ChatTemplate::parse(source);
    if (!parsed) return std::nullopt;
    return Family(std::move(*parsed));
  }
  bool works() const { return works_; }
  const std::string& why() const { return why_; }
  const Abilities& abilities() const { return abilities_; }
  const CallFormat& format() const { return abilities_.format; }

  // The answer as the template writes it behind its prompt, without the marks of its end; nothing if it refuses.
  std::optional<std::string> write(const json::object& answer, const json::array& tools) const {
    const json::array user{{{"role", "user"}, {"content", "find it"}}};
    json::array both = user;
    both.push_back(answer);
    if (!check_calls(both, abilities_)) return std::nullopt;
    const auto head = render(user, tools, true), whole = render(both, tools, false);
    if (!head || !whole) return std::nullopt;
    std::string text(behind_prompt(*whole, *head));
    if (text.ends_with(tail_)) {
      text.resize(text.size() - tail_.size());
    } else {  // with more line ends behind the same mark
      const size_t last = text.find_last_not_of('\n'), mark = tail_.find_last_not_of('\n');
      if (mark != std::string::npos && std::string_view(text).substr(0, last + 1).ends_with(tail_.substr(0, mark + 1)))
        text.resize(last - mark);
    }
    if (const size_t at = text.find("</s>"); at != std::string::npos) text.resize(at);
    return text;
  }

 private:
  explicit Family(text::ChatTemplate chat_template) : template_(std::move(chat_template)) {
    options_.variables = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"enable_thinking", false}};
    auto found = probe(template_, options_);
    works_ = found.has_value();
    if (!found) why_ = found.error().message;
    if (!found) return;
    abilities_ = std::move(*found);
    const auto plain =
        render({{{"role", "user"}, {"content", "u"}}, {{"role", "assistant"}, {"content", "plainanswer"}}}, {}, false);
    if (plain && plain->find("plainanswer") != std::string::npos)
      tail_ = plain->substr(plain->rfind("plainanswer") + 11);
  }
  std::optional<std::string> render(const json::array& messages, const json::array& tools, bool prompt) const {
    const Adapted adapted = adapt(messages, tools, abilities_);
    text::RenderOptions options = options_;
    options.add_generation_prompt = prompt;
    auto text = template_.render(adapted.messages, adapted.tools, options);
    return text ? std::optional(std::move(*text)) : std::nullopt;
  }

  text::ChatTemplate template_;
  text::RenderOptions options_;
  Abilities abilities_;
  std::string tail_;
  bool works_ = false;
  std::string why_;
};

std::string random_text(Prng& random) {
  static constexpr const char* kPieces[] = {"a",           "Z",
                                            "7",           " ",
                                            "größe",       "漢字",
                                            "🙂",        "\n",
                                            "\t",          "\"",
                                            "'",           "\\",
                                            "\\n",         "{",
                                            "}",           "[",
                                            "]",           "(",
                                            ")",           "<",
                                            ">",           "</",
                                            "&",           "=",
                                            ", ",          ": ",
                                            "x=",          "</tool_call>",
                                            "<tool_call>", "\n</parameter>",
                                            "True",        "null",
                                            "5",           "\r"};
  std::string out;
  for (uint64_t i = random.below(9); i > 0; --i) out += kPieces[random.below(std::size(kPieces))];
  return out;
}

json::value random_value(Prng& random, int depth) {
  switch (random.below(depth > 2 ? 5 : 7)) {
    case 0:
      return static_cast<int64_t>(random.below(2000000)) - 1000000;
    case 1:
      return static_cast<double>(random.below(1000000)) / 64.0 + 0.015625;
    case 2:
      return random.below(2) == 0;
    case 3:
      return nullptr;
    case 4:
      return json::string(random_text(random));
    case 5: {
      json::array out;
      for (uint64_t i = random.below(4); i > 0; --i) out.push_back(random_value(random, depth + 1));
      return out;
    }
    default: {
      json::object out;
      for (uint64_t i = random.below(4); i > 0; --i)
        out["k" + std::to_string(i) + (random.below(3) == 0 ? "ö \"q\"" : "")] = random_value(random, depth + 1);
      return out;
    }
  }
}

json::object random_call(Prng& random, size_t index) {
  json::object arguments;
  const bool mail = random.below(3) == 0;
  if (mail) {
    if (random.below(2) == 0) arguments["to"] = json::string(random_text(random));
    if (random.below(2) == 0) arguments["body"] = json::string(random_text(random));
  } else {
    arguments["order_id"] = json::string(random_text(random));
    if (random.below(2) == 0) arguments["note"] = json::string(random_text(random));
    if (random.below(2) == 0) arguments["limit"] = static_cast<int64_t>(random.below(100)) - 50;
    if (random.below(2) == 0) arguments["ratio"] = static_cast<double>(random.below(1000)) / 8 + 0.0625;
    if (random.below(2) == 0) arguments["exact"] = random.below(2) == 0;
    if (random.below(3) == 0) arguments["nothing"] = nullptr;
    if (random.below(2) == 0) {
      json::object where;
      for (uint64_t i = random.below(4); i > 0; --i) where["w" + std::to_string(i)] = random_value(random, 0);
      arguments["where"] = std::move(where);
    }
    if (random.below(2) == 0) {
      json::array tags;
      for (uint64_t i = random.below(4); i > 0; --i) tags.push_back(json::string(random_text(random)));
      arguments["tags"] = std::move(tags);
    }
  }
  return tool_call(mail ? "send-mail.v2" : "find_order", json::string(json::serialize(arguments)),
                   "call_" + std::to_string(index));
}

struct RoundTrips {
  int n = 0, n_refused = 0, n_unreadable = 0, n_wrong = 0;
};

// Random answers with calls, written by the template and read back. An answer whose arguments can't be told from the
// syntax around them reads as something else; the codec refuses to learn from it.
RoundTrips round_trips(const Family& family, int n, uint64_t seed) {
  RoundTrips out;
  Prng random(seed);
  const json::array definitions = call_tools();
  for (; out.n < n && out.n_wrong < 3; ++out.n) {
    json::array calls;
    const uint64_t n_calls = family.format().several ? 1 + random.below(3) : 1;
    for (uint64_t i = 0; i < n_calls; ++i) calls.push_back(random_call(random, i));
    const bool content = family.format().content && !family.abilities().null_content && random.below(2) == 0;
    const json::object answer{
        {"role", "assistant"}, {"content", content ? "Let me look, one moment." : ""}, {"tool_calls", calls}};
    const auto text = family.write(answer, definitions);
    if (!text) {
      ++out.n_refused;
      continue;
    }
    const ParsedAnswer parsed = parse_answer(*text, family.format(), definitions);
    if (!same_calls(parsed.message, answer)) {
      family.format().pairs ? ++out.n_unreadable : ++out.n_wrong;
      if (!family.format().pairs) ADD_FAILURE() << *text << "\n" << json::serialize(parsed.message);
    } else if (get_string(parsed.message, "content") != get_string(answer, "content")) {
      ++out.n_wrong;
      ADD_FAILURE() << *text << "\n" << json::serialize(parsed.message);
    }
  }
  return out;
}

TEST(CallFormat, EveryWayOfWritingCalls) {
  for (const CallTemplate& row : kCallTemplates) {
    SCOPED_TRACE(row.name);
    const auto family = Family::open(call_template(row.calls));
    ASSERT_TRUE(family && family->works());
    ASSERT_TRUE(family->abilities().calls) << family->abilities().call_problem;
    const CallFormat& f = family->format();
    EXPECT_EQ(write_calls(f, {tool_call("f", json::object{{"a", 1}, {"b", "t"}}, "123456789")}), row.written);
    EXPECT_EQ(f.several, std::string_view(row.name) != "Llama 3");
    EXPECT_TRUE(f.content || std::string_view(row.written).find_first_of("[{") == 0);
    const RoundTrips trips = round_trips(*family, 400, 9);
    EXPECT_EQ(trips.n_wrong, 0);
    EXPECT_EQ(trips.n_refused, 0);
    // Quotes that aren't escaped.
    EXPECT_LE(trips.n_unreadable, f.pairs && f.pairs->text == PairSyntax::Text::kAsIs ? trips.n / 10 : 0);
  }
}

TEST(CallFormat, OtherWaysAreRefusedSayingWhy) {
  const std::pair<const char*, const char*> rows[] = {
      // The call's number.
      {"{% for c in m.tool_calls %}<c {{ loop.index }}>{{ c.function.name }}|{{ c.function.arguments | tojson }}</c>{% "
       "endfor %}",
       ""},
      {"{% for c in m.tool_calls %}<c>{{ c.function.name | upper }} {{ c.function.arguments | tojson }}</c>{% endfor "
       "%}",
       nullptr},
      {"{% for c in m.tool_calls %}{{ c.function.name }} for {{ c.function.name }}: {{ c.function.arguments | tojson "
       "}}{% endfor %}",
       "otherwise"},
      {"{% for c in m.tool_calls %}<c>{{ c.function.name }}{% for k, v in c.function.arguments | items %}<{{ k }}>{{ v "
       "if v "
       "is string or v is number or v is boolean or v is none else v | string | replace('[', '') }}</>{% endfor "
       "%}</c>{% "
       "endfor %}",
       "unknown way"},
      {"{% for c in m.tool_calls %}{{ c.function.name }}{{ c.function.arguments.argone | tojson | tojson }}{% endfor "
       "%}",
       nullptr},
  };
  for (const auto& [calls, problem] : rows) {
    const auto family = Family::open(call_template(calls));
    ASSERT_TRUE(family && family->works()) << calls;
    const Abilities& found = family->abilities();
    if (problem == nullptr) {  // shows no calls
      EXPECT_FALSE(found.calls) << calls;
      EXPECT_EQ(found.call_problem, "") << calls;
    } else if (*problem == 0) {  // one at a time
      EXPECT_TRUE(found.calls) << calls;
      EXPECT_FALSE(found.format.several) << calls;
    } else {
      EXPECT_FALSE(found.calls) << calls;
      EXPECT_NE(found.call_problem.find(problem), std::string::npos) << found.call_problem;
      EXPECT_EQ(found.format.json_open, "<tool_call>") << calls;
    }
  }
}

// SLMCONV_INTEROP_TEMPLATES: another folder of templates, whose table is printed.
TEST(CallFormat, RealTemplates) {
  const char* other = std::getenv("SLMCONV_INTEROP_TEMPLATES");
  const auto folder = other == nullptr ? outside_data() / "chat-templates" : std::filesystem::path(other);
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is absent";
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".jinja") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    SCOPED_TRACE(file.filename().string());
    const auto source = read_file(file);
    ASSERT_TRUE(source);
    const auto family = Family::open(*source);
    std::string row = file.stem().string() + ": ";
    if (!family || !family->works()) {
      row += "isn't understood" + (family ? ": " + family->why() : std::string());
    } else if (!family->abilities().calls) {
      row += family->abilities().call_problem.empty() ? "shows no calls"
                                                      : "plain text: " + family->abilities().call_problem;
    } else {
      const RoundTrips trips = round_trips(*family, other == nullptr ? 2000 : 300, 5);
      EXPECT_EQ(trips.n_wrong, 0);
      const CallFormat& f = family->format();
      row += std::to_string(trips.n) + " calls, " + std::to_string(trips.n_refused) + " refused, " +
             std::to_string(trips.n_unreadable) + " not told apart;";
      for (const auto& [set, word] : {std::pair{f.json, " json"},
                                      {f.pairs.has_value(), " pairs"},
                                      {f.several, " several"},
                                      {f.content, " content"},
                                      {f.ids, " ids"},
                                      {family->abilities().short_ids, " short ids"},
                                      {family->abilities().null_content, " null content"},
                                      {family->abilities().arguments_as_text, " arguments as text"}})
        if (set) row += word;
      row += "  " + json::serialize(json::string(
                        write_calls(f, {tool_call("f", json::object{{"a", 1}, {"b", "t"}}, "callprobe")})));
    }
    if (other != nullptr) std::cout << row << '\n';
  }
}

}  // namespace
}  // namespace slm::model
