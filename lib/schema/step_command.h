// The command that makes what a step makes: what a hint tells to type.
#pragma once

#include <string>
#include <string_view>

namespace slm {

inline std::string step_command(std::string_view step) {
  if (step == "finetune") return "slmconv finetune --all --lora";
  if (step == "cluster") return "slmconv cluster --k auto";
  return "slmconv " + std::string(step);
}

}  // namespace slm
