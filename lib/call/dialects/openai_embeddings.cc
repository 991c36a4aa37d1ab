// OpenAI embeddings: the input only; the vectors aren't kept. A record is {request, response}.
//
//   record                                   call
//   request.input text | list of texts       a user message each
//   request.input of token ids               text of the JSON
//   request.dimensions, encoding_format      params
//   request.user                             source
//   response.model, usage, error             the same
//
// Source: openai-python src/openai/types/embedding_create_params.py.
#include "call/dialects/dialect.h"
#include "call/dialects/normalise.h"
#include "call/dialects/recognise.h"

namespace slm::dialects {

std::string_view parse_openai_embeddings(json::value& record, CallSink& sink) {
  auto* object = record.if_object();
  const auto* request = object == nullptr ? nullptr : get_object(*object, "request");
  if (request == nullptr) return "bad_request";
  LoggedCall logged;
  Call& call = logged.call;
  call.meta.operation = "embeddings";
  const auto* input = request->if_contains("input");
  if (input == nullptr) return "no_messages";
  const auto add = [&](std::string_view text) {
    call.body.messages.push_back(json::object{{"role", "user"}, {"content", text}});
  };
  const auto* list = input->if_array();
  if (input->is_string()) {
    add(input->get_string());
  } else if (list != nullptr && !list->empty() && list->front().is_string()) {
    for (const json::value& text : *list) {
      if (!text.is_string()) return "bad_message";
      add(text.get_string());
    }
  } else if (list != nullptr && !list->empty()) {
    add(json::serialize(*input));
  } else {
    return "no_messages";
  }
  for (const std::string_view key : {"dimensions", "encoding_format"})
    if (const auto* v = request->if_contains(key); v != nullptr && !v->is_null()) call.body.params.emplace(key, *v);
  call.meta.model = get_string(*request, "model");
  call.meta.source = first_label(*request, {"safety_identifier", "user"});
  const auto* response = get_object(*object, "response");
  if (response == nullptr) {
    logged.failure = "no_response";
  } else {
    const auto status = get_int(*response, "status_code");
    if (const auto* body = get_object(*response, "body"); body != nullptr && status) response = body;
    if (const auto* error = response->if_contains("error"); error != nullptr && !error->is_null())
      call.body.error = clean_error(*error);
    else if (status && *status >= 400)
      call.body.error = json::object{{"status_code", *status}};
    if (!call.body.error.is_null()) logged.failure = "error";
    if (const auto model = get_string(*response, "model"); !model.empty()) call.meta.model = model;
    if (const auto* usage = get_object(*response, "usage")) call.meta.usage = read_usage(*usage);
  }
  call.meta.flags.failed = !logged.failure.empty();
  sink.call(logged);
  return {};
}

}  // namespace slm::dialects
