#include "call/dialects/recognise.h"

#include <gtest/gtest.h>

#include "dialect_log.h"

namespace slm::dialects {
namespace {

bool speaks_to_human(std::string_view site, std::string_view answer, bool conversation = false,
                     std::string_view params = "{}") {
  const json::value message = json_of(answer), settings = json_of(params);
  return is_human_facing({std::nullopt, site, conversation, &settings.as_object(), &message.as_object()});
}

std::string_view failure(std::string_view answer, std::string_view finish = "stop") {
  CallBody body;
  body.choices.push_back(json::object{{"message", json_of(answer)}, {"finish_reason", finish}});
  return failure_of(body);
}

TEST(Failure, StockRefusals) {
  for (const auto* text : {"I'm sorry, but I can't assist with that.", "I'm sorry, I can't help with that request.",
                           "I cannot help with this.", "Sorry, I can\u2019t help with that",
                           "I am unable to comply with this request!", "\nI'm not able to help you with that. "})
    EXPECT_EQ(failure(json::serialize(json::object{{"content", text}})), "refusal") << text;
  for (const auto* text :
       {"I'm sorry, but I can't find your order.", "I can't help with that part, but your refund is on its way.",
        "I'm sorry to hear that.", "Sorry", "I cannot help with this. Ask the desk in Oslo instead.", "I can't ",
        "help with that"})
    EXPECT_EQ(failure(json::serialize(json::object{{"content", text}})), "") << text;
}

TEST(Failure, Kinds) {
  EXPECT_EQ(failure(R"({"content":"yes"})"), "");
  EXPECT_EQ(failure(R"({"content":"ye"})", "length"), "length");
  EXPECT_EQ(failure(R"({"content":"x"})", "content_filter"), "refusal");
  EXPECT_EQ(failure(R"({"content":null,"refusal":"no"})"), "refusal");
  EXPECT_EQ(failure(R"({"content":[{"type":"refusal","refusal":"no"}]})"), "refusal");
  EXPECT_EQ(failure(R"({"content":" \t"})"), "empty");
  EXPECT_EQ(failure(R"({"content":null,"tool_calls":[{"function":{"name":"f"}}]})"), "");
  EXPECT_EQ(failure_of(CallBody{}), "no_response");
  CallBody body;
  body.error = "down";
  EXPECT_EQ(failure_of(body), "error");
}

TEST(HumanFacing, SiteLabels) {
  const std::string_view hello = R"({"content":"Hello! How can I help you today?"})";
  for (const auto* site : {"chat", "support-chat", "Chat/v2", "web.chatbot", "SMALLTALK_EN"})
    EXPECT_TRUE(speaks_to_human(site, hello)) << site;
  for (const auto* site : {"", "route", "chatter_filter", "openai.chat.completions", "purchase", "chat-completion"})
    EXPECT_FALSE(speaks_to_human(site, hello)) << site;
}

TEST(HumanFacing, ToolCallsSpeakToTools) {
  EXPECT_FALSE(speaks_to_human("chat", R"({"content":"One moment.","tool_calls":[{"function":{"name":"f"}}]})", true));
}

TEST(HumanFacing, InAConversationOnlyProse) {
  EXPECT_TRUE(speaks_to_human("", R"({"content":"Sure, I moved your booking."})", true));
  EXPECT_TRUE(speaks_to_human("", R"({"content":"Done!"})", true));
  for (const auto* answer :
       {R"({"content":"shipping"})", R"({"content":"{\"a\": 1}"})", R"({"content":"[1, 2]"})",
        R"({"content":"```sql\nselect 1;\n```"})", R"({"content":"<order>7</order>"})", R"({"content":"  "})",
        R"({"content":"late parcel complaint"})", R"({"content":"Thought: I need the date.\nAction: look_up[date]"})"})
    EXPECT_FALSE(speaks_to_human("", answer, true)) << answer;
  EXPECT_FALSE(speaks_to_human("", R"({"content":"A sentence, but asked for as JSON."})", true,
                               R"({"response_format":{"type":"json_object"}})"));
  EXPECT_FALSE(speaks_to_human("", R"({"content":"Sure, I moved your booking."})", false));
}

TEST(HumanFacing, TheLogDecides) {
  const json::value message = json_of(R"({"content":"Hello! How are you?"})");
  EXPECT_FALSE(is_human_facing({false, "chat", true, nullptr, &message.as_object()}));
  EXPECT_TRUE(is_human_facing({true, "", false, nullptr, nullptr}));
  EXPECT_FALSE(is_human_facing({std::nullopt, "chat", true, nullptr, nullptr})) << "nothing was said";
}

TEST(HumanFacing, FewShotExamplesAreNoConversation) {
  const auto conversation = [](std::initializer_list<std::string_view> turns) {
    json::array messages;
    for (const auto turn : turns) {
      messages.push_back(json::object{{"role", "user"}, {"content", turn}});
      messages.push_back(json::object{{"role", "assistant"}, {"content", "ok"}});
    }
    return is_conversation(messages);
  };
  EXPECT_TRUE(conversation({"I lost my card", "It is the blue one"}));
  EXPECT_TRUE(conversation({"I lost my card", "I lost my keys too"}));
  EXPECT_FALSE(conversation({"I lost my card"}));
  EXPECT_FALSE(conversation({"Text: the bus", "Text: the train", "Text: thanks"}));
  EXPECT_FALSE(conversation({"Rewrite this:\nsend it", "Rewrite this:\ncome here"}));
  EXPECT_FALSE(conversation(
      {"Rewrite the following text politely:\nsend it", "Rewrite the following text politely:\ncome here"}));
  EXPECT_FALSE(conversation({"Find the capital of Peru.", "Observation: 3 pages", "Observation: Lima is the capital"}));
  EXPECT_TRUE(conversation({"Well, hello: I lost my card", "At 10:30 I saw it last"}));
  EXPECT_FALSE(conversation({}));
}

TEST(Recognise, ShortAnswersThatOpenWithARefusal) {
  const auto opens = [](std::string_view text) {
    return opens_with_refusal({{"role", "assistant"}, {"content", text}});
  };
  EXPECT_TRUE(opens("I'm sorry, but I can't assist with that. You may ask your bank instead."));
  EXPECT_TRUE(opens("I\u2019m Sorry, I CAN\u2019T HELP WITH THAT"));
  EXPECT_TRUE(opens("As an AI language model, I have no opinion on lamps."));
  EXPECT_FALSE(opens("I'm sorry, but I can't refund this order."));
  EXPECT_FALSE(opens("The ticket says, in the words of the customer who wrote it: can't help with that"));
  EXPECT_FALSE(opens("I can't help with that. " + std::string(300, 'x')));
  EXPECT_FALSE(opens(""));
  EXPECT_FALSE(opens_with_refusal({{"content", "I can't help with that"}, {"tool_calls", {{{"id", "c"}}}}}));
}

}  // namespace
}  // namespace slm::dialects
