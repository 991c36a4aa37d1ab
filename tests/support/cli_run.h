// Runs one command line in process, as tests/cli do.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <sstream>
#include <string>
#include <vector>

#include "command.h"
#include "schema/json.h"

namespace slm::cli {

struct Ran {
  int rc = 0;
  std::string out, err;
  // The JSON lines of stdout.
  std::vector<json::value> lines() const {
    std::vector<json::value> all;
    std::istringstream in(out);
    for (std::string line; std::getline(in, line);)
      if (auto value = parse_json(line)) all.push_back(*value);
    return all;
  }
  json::object last() const {
    const auto all = lines();
    return all.empty() || !all.back().is_object() ? json::object{} : all.back().get_object();
  }
};

// Whatever a test is about: every line under --json keeps to the published schema, and the last one is the summary.
inline void check_lines(const std::string& out) {
  std::istringstream in(out);
  json::value last;
  for (std::string line; std::getline(in, line);) {
    const auto value = parse_json(line);
    ASSERT_TRUE(value) << line;
    const auto valid = validate_json(*value, "schemas/message/message.schema.json");
    ASSERT_TRUE(valid) << line << ": " << valid.error().message;
    last = *value;
  }
  ASSERT_TRUE(last.is_object()) << "no line at all";
  EXPECT_EQ(get_string(last.get_object(), "message_type"), "summary") << out;
}

inline Ran run_cli(const std::vector<std::string>& args, const std::string& input = {}, bool terminal = false) {
  std::signal(SIGPIPE, SIG_IGN);  // as the program does
  std::istringstream in(input);
  std::ostringstream out, err;
  const auto clock = system_clock();
  const auto random = os_random();
  Ran ran;
  ran.rc = run_command_line(args, {in, out, err, terminal, 80}, *clock, *random);
  ran.out = out.str();
  ran.err = err.str();
  if (std::find(args.begin(), args.end(), "--json") != args.end()) check_lines(ran.out);
  return ran;
}

}  // namespace slm::cli
