// `slmconv finetune TASK…|--all --lora`: one adapter a task.
#pragma once

#include "command.h"

namespace slm::cli {
void add_finetune(CLI::App& app, Context& context);
}
