#include "collect/otlp_receiver.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "collect/otlp_intake.h"
#include "core/file.h"
#include "core/random.h"
#include "crypto/keyfile.h"
#include "http/coding.h"
#include "memory_store.h"
#include "store/collector_files.h"
#include "support/sockets.h"

namespace slm::collect {
namespace {

using ::testing::StartsWith;

std::string recorded(const std::string& name) {
  return read_file(fmt::format("{}/tests/data/otlp/{}", SLM_SOURCE_DIR, name)).value_or("");
}

constexpr std::string_view kProtobuf = "application/x-protobuf";

TEST(OtlpIntake, AnswersAsTheSpecificationSays) {
  otel::Batch batch;
  const std::string traces = recorded("0.traces.pb");
  ASSERT_FALSE(traces.empty());
  OtlpAnswer answer = read_otlp({"POST", "/v1/traces", kProtobuf, traces}, batch);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.content_type, kProtobuf);
  EXPECT_EQ(answer.body, "") << "an ExportTraceServiceResponse without a partial success";
  EXPECT_EQ(batch.spans.size(), 3U);

  batch = {};
  answer = read_otlp({"POST", "/v1/traces", "Application/JSON; charset=utf-8", "{}"}, batch);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.content_type, "application/json");
  EXPECT_EQ(answer.body, "{}");

  // One span of this batch has no ids: rejected, told, not to be sent again.
  batch = {};
  answer = read_otlp({"POST", "/v1/traces", kProtobuf, recorded("6.traces.pb")}, batch);
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, StartsWith(std::string("\x0a\x25\x08\x01\x12\x21", 6)));
  EXPECT_THAT(answer.body, ::testing::EndsWith("without the ids of trace and span"));
  batch = {};
  answer = read_otlp(
      {"POST", "/v1/logs", "application/json", R"({"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{}]}]}]})"}, batch);
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, StartsWith(R"({"partialSuccess":{"rejectedLogRecords":"2","errorMessage":)"));
}

TEST(OtlpIntake, RefusesWithAStatus) {
  struct Case {
    OtlpRequest request;
    int status;
  };
  const std::string traces = recorded("0.traces.pb"), cut = traces.substr(0, traces.size() - 1);
  const Case kCases[] = {{{"POST", "/v1/traces", kProtobuf, cut}, 400},
                         {{"POST", "/v1/traces", "application/json", "{"}, 400},
                         {{"POST", "/v1/traces", "application/json", "[]"}, 400},
                         {{"POST", "/v1/logs", "application/json", R"({"resourceLogs":7})"}, 400},
                         {{"POST", "/v1/traces", "text/plain", "x"}, 415},
                         {{"GET", "/v1/traces", "application/json", ""}, 405},
                         {{"POST", "/v1/metrics", kProtobuf, ""}, 404}};
  for (const auto& [request, status] : kCases) {
    otel::Batch batch;
    const OtlpAnswer answer = read_otlp(request, batch);
    EXPECT_EQ(answer.status, status);
    EXPECT_EQ(answer.retry_after_s, 0) << "not to be sent again";
    EXPECT_FALSE(answer.body.empty());
    if (request.content_type == "application/json") {
      EXPECT_THAT(answer.body, StartsWith(R"({"code":3,"message":)"));
    } else {
      EXPECT_THAT(answer.body, StartsWith("\x08\x03\x12"));
    }
  }
  const OtlpAnswer later = refuse_otlp({"POST", "/v1/traces", kProtobuf, ""}, 503, "no room now");
  EXPECT_GT(later.retry_after_s, 0);
}

class Receiver : public ::testing::Test {
 protected:
  void start(OtlpOptions options = {}) {
    options.hold_s = 0.2;
    auto started = OtlpReceiver::start(std::move(options), store_);
    ASSERT_TRUE(started.has_value()) << started.error().message;
    receiver_ = std::move(*started);
  }
  std::string post(std::string_view path, std::string_view type, const std::string& body,
                   const std::string& more = "") {
    const auto socket = slm::testing::Socket::to(receiver_->port());
    socket.send(fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}Connection: "
                            "close\r\n\r\n",
                            path, type, body.size(), more) +
                body);
    return socket.all();
  }
  void send_all() {
    for (const auto* name :
         {"0.traces", "1.traces", "2.traces", "3.traces", "4.traces", "5.logs", "6.traces", "7.logs"})
      EXPECT_THAT(post(std::string(name).ends_with("logs") ? "/v1/logs" : "/v1/traces", kProtobuf,
                       recorded(std::string(name) + ".pb")),
                  StartsWith("HTTP/1.1 200"));
  }
  MemoryStore store_;
  std::unique_ptr<OtlpReceiver> receiver_;
};

TEST_F(Receiver, StoresTheCallsOfWhatCame) {
  start();
  send_all();
  ASSERT_TRUE(receiver_->drain().has_value());
  const OtlpReport report = receiver_->report();
  EXPECT_EQ(report.n_requests, 8);
  EXPECT_EQ(report.n_calls, 8);
  EXPECT_EQ(report.n_added, 8);
  EXPECT_EQ(report.n_failed, 2);
  EXPECT_EQ(report.dropped.at("bad_span"), 1);
  EXPECT_EQ(report.dropped.at("nested_span"), 1);
  EXPECT_EQ(store_.calls.size(), 8U);
  for (const auto& call : store_.calls)
    for (const auto* planted : {"orla.brandt", "sk-planted", "203.0.113.77"})
      EXPECT_EQ((call.meta + call.body).find(planted), std::string::npos) << planted;
}

TEST_F(Receiver, WhatIsSentAgainIsStoredOnce) {
  start();
  send_all();
  send_all();
  ASSERT_TRUE(receiver_->drain().has_value());
  EXPECT_EQ(store_.calls.size(), 8U);
  EXPECT_GT(receiver_->report().dropped.at("repeated_span"), 0);
}

TEST_F(Receiver, HeldTracesAreStoredInTime) {
  start();
  EXPECT_THAT(post("/v1/traces", kProtobuf, recorded("2.traces.pb")), StartsWith("HTTP/1.1 200"));
  // Held 0.2 s, committed within another second.
  for (int i = 0; i < 100 && receiver_->n_stored() == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(receiver_->n_stored(), 1);
  ASSERT_TRUE(receiver_->drain().has_value());
}

TEST_F(Receiver, CodingsBoundsAndTokens) {
  const auto file = std::filesystem::temp_directory_path() / fmt::format("slmconv-otlp-token-{}", ::getpid());
  ASSERT_TRUE(write_file_atomic(file, "first\nsecond\n").has_value());
  OtlpOptions options;
  options.token_file = file;
  options.max_body_bytes = 4096;
  start(std::move(options));
  std::filesystem::remove(file);
  const std::string traces = recorded("2.traces.pb");
  EXPECT_THAT(post("/v1/traces", kProtobuf, traces), StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(post("/v1/traces", kProtobuf, traces, "Authorization: Bearer seconds\r\n"), StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(post("/v1/traces", kProtobuf, http::gzip(traces).value(),
                   "Content-Encoding: gzip\r\nAuthorization: Bearer second\r\n"),
              StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(post("/v1/traces", kProtobuf, traces, "Content-Encoding: gzip\r\nAuthorization: Bearer first\r\n"),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(post("/v1/traces", kProtobuf, std::string(5000, 'x'), "Authorization: Bearer first\r\n"),
              StartsWith("HTTP/1.1 413"));
  ASSERT_TRUE(receiver_->drain().has_value());
  EXPECT_EQ(receiver_->report().n_added, 1);
}

TEST_F(Receiver, AFailingStoreEndsIt) {
  start();
  store_.fail_adds = true;
  EXPECT_THAT(post("/v1/traces", kProtobuf, recorded("2.traces.pb")), StartsWith("HTTP/1.1 200"));
  for (int i = 0; i < 100 && !receiver_->failed(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(receiver_->failed());
  EXPECT_THAT(post("/v1/traces", kProtobuf, recorded("3.traces.pb")), StartsWith("HTTP/1.1 503"));
  const Status drained = receiver_->drain();
  ASSERT_FALSE(drained.has_value());
  EXPECT_EQ(drained.error().code, ErrorCode::kIo);
  EXPECT_EQ(receiver_->report().dropped.at("missed"), 1);
  EXPECT_EQ(receiver_->report().n_turned_away, 1);
}

class DurableReceiver : public Receiver {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::temp_directory_path() / fmt::format("slmconv-otlp-durable-{}", ::getpid());
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
    const auto random = seeded_random(7);
    crypto::Identity identity = crypto::generate_identity(*random);
    identity.role = "collector";
    identity.admin = std::string(32, 'a');
    ASSERT_TRUE(crypto::write_key_file(dir_ / "key", identity).has_value());
    store_.set_dir(dir_);
  }
  void TearDown() override {
    receiver_.reset();
    std::filesystem::remove_all(dir_);
  }
  OtlpOptions durable() const {
    OtlpOptions options;
    options.durable = true;
    options.key_file = dir_ / "key";
    options.spool_bytes = 1 << 20;
    return options;
  }
  void await_cleared() const {
    for (int i = 0; i < 100 && !store::waiting_spools(dir_).empty(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  std::filesystem::path dir_;
};

TEST_F(DurableReceiver, WhatItAcknowledgedIsReadAgainByTheNextOne) {
  start(durable());
  store_.fail_adds = true;  // from here as if it had been killed: nothing reaches the store
  send_all();
  EXPECT_FALSE(receiver_->drain().has_value());
  receiver_.reset();
  EXPECT_EQ(store_.calls.size(), 0U);
  EXPECT_FALSE(store::waiting_spools(dir_).empty());

  store_.fail_adds = false;
  start(durable());
  await_cleared();
  EXPECT_THAT(store::waiting_spools(dir_), ::testing::IsEmpty()) << "cleared once its calls are stored";
  EXPECT_EQ(store_.calls.size(), 8U);
  send_all();  // as an exporter does whose answer got lost
  ASSERT_TRUE(receiver_->drain().has_value());
  EXPECT_EQ(store_.calls.size(), 8U);
  EXPECT_EQ(receiver_->report().dropped.at("already_stored"), 8);
}

TEST_F(DurableReceiver, EqualCallsOfTwoSpansStayApart) {
  start(durable());
  std::string traces = recorded("2.traces.pb");
  EXPECT_THAT(post("/v1/traces", kProtobuf, traces), StartsWith("HTTP/1.1 200"));
  // The same text in the same second, as another trace: its id is the first field of 16 bytes.
  const size_t at = traces.find("\x0a\x10");
  ASSERT_NE(at, std::string::npos);
  traces[at + 2] = static_cast<char>(traces[at + 2] ^ 1);
  EXPECT_THAT(post("/v1/traces", kProtobuf, traces), StartsWith("HTTP/1.1 200"));
  ASSERT_TRUE(receiver_->drain().has_value());
  EXPECT_EQ(store_.calls.size(), 2U);
}

TEST_F(DurableReceiver, AFullJournalTurnsAway) {
  OtlpOptions options = durable();
  options.spool_bytes = 16 << 10;
  start(std::move(options));
  const std::string traces = recorded("0.traces.pb");
  int n_taken = 0, n_later = 0;
  for (int i = 0; i < 60; ++i) {
    const std::string answer = post("/v1/traces", kProtobuf, traces);
    n_taken += answer.starts_with("HTTP/1.1 200");
    n_later += answer.starts_with("HTTP/1.1 503") && answer.find("Retry-After") != std::string::npos;
  }
  EXPECT_GT(n_taken, 0);
  EXPECT_GT(n_later, 0);
  EXPECT_EQ(n_taken + n_later, 60);
  EXPECT_THAT(post("/v1/traces", kProtobuf, std::string(5000, 'x')), StartsWith("HTTP/1.1 413"))
      << "more than one of its files ever holds";
  ASSERT_TRUE(receiver_->drain().has_value());
  EXPECT_EQ(receiver_->report().n_turned_away, n_later);
  EXPECT_THAT(store::waiting_spools(dir_), ::testing::IsEmpty());
}

TEST_F(Receiver, OffThisMachineNeedsTlsAndAuthentication) {
  OtlpOptions options;
  options.listen.host = "0.0.0.0";
  const auto started = OtlpReceiver::start(std::move(options), store_);
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error().code, ErrorCode::kUsage);
}

}  // namespace
}  // namespace slm::collect
