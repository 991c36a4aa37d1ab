#include "core/time.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <ctime>

namespace slm {
namespace {

class SystemClock final : public Clock {
 public:
  int64_t now_ms() override {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
  double monotonic_s() override {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
};

class FixedClock final : public Clock {
 public:
  FixedClock(int64_t now_ms, int64_t step_ms) : now_ms_(now_ms), step_ms_(step_ms) {}
  int64_t now_ms() override {
    const int64_t t = now_ms_;
    now_ms_ += step_ms_;
    return t;
  }
  double monotonic_s() override { return static_cast<double>(now_ms()) / 1e3; }

 private:
  int64_t now_ms_, step_ms_;
};

// Days since 1970-01-01 of a Gregorian date (Howard Hinnant, "chrono-compatible low-level date algorithms").
int64_t days_from_civil(int64_t y, int m, int d) {
  y -= m <= 2;
  const int64_t era = (y >= 0 ? y : y - 399) / 400;
  const auto yoe = static_cast<int64_t>(y - era * 400);
  const int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

}  // namespace

std::unique_ptr<Clock> system_clock() { return std::make_unique<SystemClock>(); }
std::unique_ptr<Clock> fixed_clock(int64_t now_ms, int64_t step_ms) {
  return std::make_unique<FixedClock>(now_ms, step_ms);
}

std::string format_utc(int64_t time_ms) {
  const int64_t seconds = time_ms >= 0 ? time_ms / 1000 : -((-time_ms + 999) / 1000);
  const auto t = static_cast<time_t>(seconds);
  tm parts{};
  gmtime_r(&t, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, time_ms - seconds * 1000);
}

Result<int64_t> parse_time_ms(std::string_view text) {
  const auto bad = [&] {
    return fail(ErrorCode::kBadInput,
                fmt::format("not a time: {} characters, want RFC 3339 or seconds since the epoch", text.size()));
  };
  double number = 0;
  if (auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
      ec == std::errc{} && end == text.data() + text.size()) {
    if (!(number >= 0 && number < 1e14)) return bad();
    return static_cast<int64_t>(number < 1e11 ? number * 1e3 + 0.5 : number);
  }
  auto digits = [&](size_t at, size_t n, int& out) {
    if (at + n > text.size()) return false;
    auto [end, ec] = std::from_chars(text.data() + at, text.data() + at + n, out);
    return ec == std::errc{} && end == text.data() + at + n && text[at] != '-';
  };
  int year, month, day, hour, minute, second;
  if (text.size() < 19 || !digits(0, 4, year) || text[4] != '-' || !digits(5, 2, month) || text[7] != '-' ||
      !digits(8, 2, day) || (text[10] != 'T' && text[10] != 't' && text[10] != ' ') || !digits(11, 2, hour) ||
      text[13] != ':' || !digits(14, 2, minute) || text[16] != ':' || !digits(17, 2, second))
    return bad();
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60) return bad();
  int64_t ms = 0;
  size_t at = 19;
  if (at < text.size() && text[at] == '.') {
    int64_t scale = 100;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, scale /= 10)
      ms += (text[at] - '0') * scale;
  }
  int64_t offset_min = 0;
  if (at < text.size() && text[at] != 'Z' && text[at] != 'z') {
    int oh, om;
    if ((text[at] != '+' && text[at] != '-') || !digits(at + 1, 2, oh) || at + 3 >= text.size() ||
        text[at + 3] != ':' || !digits(at + 4, 2, om) || at + 6 != text.size())
      return bad();
    offset_min = (oh * 60 + om) * (text[at] == '-' ? -1 : 1);
  } else if (at + 1 < text.size()) {
    return bad();
  }
  const int64_t seconds =
      days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset_min * 60;
  return seconds * 1000 + ms;
}

}  // namespace slm
