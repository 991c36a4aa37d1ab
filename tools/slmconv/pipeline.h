// A pipeline file: the steps of one end-to-end run, as flags of the commands they call.
//
//   name = "quickstart"
//   work = "build/quickstart"       # folder of everything it makes; relative to where slmconv is run
//   [[step]]
//   command = "collect"             # or "models add"
//   paths = ["sample-*.jsonl"]      # positional arguments; relative to the pipeline file unless under {work}
//   no-hci = true                   # key = long option; true = a flag; a list = the option given several times
//   when = "missing"                # only if `makes` isn't there yet
//   makes = "{work}/store"
//
// {work} and {here} in a value stand for the work folder and the pipeline file's folder.
// Errors: kBadInput naming the step and key.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"

namespace slm::cli {

struct PipelineStep {
  std::string command;
  std::vector<std::string> args;  // the whole command line
  std::filesystem::path makes;    // with when = "missing": skipped if this exists
  bool only_if_missing = false;
  bool allow_fail = false;  // a gate that isn't met is reported, and the run goes on
};
struct Pipeline {
  std::string name;
  std::filesystem::path work;
  std::vector<PipelineStep> steps;
};
// work: overrides the file's own; empty: as the file says.
Result<Pipeline> read_pipeline(const std::filesystem::path& file, const std::filesystem::path& work);

}  // namespace slm::cli
