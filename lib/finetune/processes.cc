#include "finetune/processes.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <optional>

#include "core/hash.h"
#ifdef SLM_GLOO
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#endif

namespace slm::finetune {

namespace {

// The first row whose rank and size are both set says who started this process. `needs`: a further variable without
// which they say nothing (inside an allocation, but before srun, Slurm sets rank and size too).
struct Launcher {
  const char *name, *rank, *size, *local_rank, *local_size, *needs;
};
constexpr Launcher kLaunchers[] = {
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", nullptr},
    {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE", nullptr},
    {"slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", nullptr, "SLURM_STEP_ID"},
    {"mpiexec", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", nullptr},
};
constexpr int kFirstSlurmPort = 20000, kSlurmPorts = 20000;
constexpr auto kJoinTimeout = std::chrono::minutes(5);  // from the first process's start to the last one's
constexpr auto kSumTimeout = std::chrono::minutes(30);  // between one process's step and the slowest one's

Result<std::optional<int64_t>> number(const Environment& variable, const char* name) {
  const char* text = name == nullptr ? nullptr : variable(name);
  if (text == nullptr || *text == '\0') return std::nullopt;
  const std::string_view all(text);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), value);
  if (error != std::errc() || end != all.data() + all.size())
    return fail(ErrorCode::kUsage, fmt::format("{}={} is no number", name, all));
  return value;
}

std::string text_of(const Environment& variable, const char* name) {
  const char* text = variable(name);
  return text == nullptr ? "" : text;
}

// Where they meet, if no variable says so.
Result<ProcessPlace> meeting_place(const Environment& variable, ProcessPlace place) {
  const std::string address = text_of(variable, "MASTER_ADDR");
  SLM_TRY(const auto port, number(variable, "MASTER_PORT"));
  if (port && (*port < 1 || *port > 65535))
    return fail(ErrorCode::kUsage, fmt::format("MASTER_PORT={} is no port", *port));
  if (!address.empty()) {
    place.address = address;
  } else if (place.local_size == place.size) {
    // On one machine its name, which may not resolve, isn't needed.
  } else if (place.launcher == "slurm") {
    place.address = first_host(text_of(variable, "SLURM_STEP_NODELIST"));
    if (place.address.empty()) place.address = first_host(text_of(variable, "SLURM_JOB_NODELIST"));
    if (place.address.empty()) return fail(ErrorCode::kUsage, "SLURM_JOB_NODELIST is not set", "set MASTER_ADDR");
  } else {
    return fail(ErrorCode::kUsage, fmt::format("{} processes on several machines, and no MASTER_ADDR", place.size),
                "set MASTER_ADDR to the host of the first one");
  }
  if (port) {
    place.port = static_cast<int>(*port);
  } else if (place.launcher == "slurm") {
    // Jobs and steps that share a machine shall not meet at one port.
    SLM_TRY(const auto job, number(variable, "SLURM_JOB_ID"));
    SLM_TRY(const auto step, number(variable, "SLURM_STEP_ID"));
    place.port = static_cast<int>(kFirstSlurmPort + (job.value_or(0) * 7 + step.value_or(0)) % kSlurmPorts);
  }
  return place;
}

[[maybe_unused]] Error lost(const ProcessPlace& place, std::string_view what) {
  return {ErrorCode::kIo, fmt::format("process {} of {}: {}", place.rank, place.size, what),
          "see what that process said; then the same command with --resume"};
}

}  // namespace

std::string first_host(std::string_view nodes) {
  const auto end = nodes.find_first_of("[,");
  std::string host(nodes.substr(0, end));
  if (end == std::string_view::npos || nodes[end] == ',') return host;
  const auto close = nodes.find(']', end);
  const auto first = nodes.substr(end + 1, nodes.find_first_of("-,]", end + 1) - end - 1);
  host += first;
  if (close == std::string_view::npos) return host;
  const auto rest = nodes.substr(close + 1);  // "node[1-2]-ib"
  return host + first_host(rest);
}

Result<ProcessPlace> process_place(const Environment& variable) {
  for (const auto& row : kLaunchers) {
    if (row.needs != nullptr && text_of(variable, row.needs).empty()) continue;
    SLM_TRY(const auto rank, number(variable, row.rank));
    SLM_TRY(const auto size, number(variable, row.size));
    if (!rank || !size) continue;
    if (*size < 1 || *size > 4096 || *rank < 0 || *rank >= *size)
      return fail(ErrorCode::kUsage, fmt::format("{}={} with {}={}", row.rank, *rank, row.size, *size));
    ProcessPlace place;
    if (*size == 1) return place;
    place.launcher = row.name;
    place.rank = static_cast<int>(*rank);
    place.size = static_cast<int>(*size);
    SLM_TRY(const auto local_rank, number(variable, row.local_rank));
    SLM_TRY(auto local_size, number(variable, row.local_size));
    if (place.launcher == "slurm") {  // "2(x3),1": of the first machines 2 each; right for equal ones
      const std::string tasks = text_of(variable, "SLURM_STEP_TASKS_PER_NODE");
      int64_t n = 0;
      const bool known = std::from_chars(tasks.data(), tasks.data() + tasks.size(), n).ec == std::errc() && n > 0;
      local_size = known ? n : 1;
    }
    place.local_rank = static_cast<int>(local_rank.value_or(0));
    place.local_size = static_cast<int>(local_size.value_or(local_rank ? 1 : *size));
    place.store_is_served = text_of(variable, "TORCHELASTIC_USE_AGENT_STORE") == "True";
    place.store_prefix = fmt::format("slmconv/{}", text_of(variable, "TORCHELASTIC_RESTART_COUNT"));
    return meeting_place(variable, std::move(place));
  }
  return ProcessPlace{};
}

#ifdef SLM_GLOO

struct Processes::Group {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
};

Processes::Processes(const ProcessPlace& place) : place_(place), group_(std::make_unique<Group>()) {}
Processes::~Processes() = default;

Result<std::unique_ptr<Processes>> Processes::join(const ProcessPlace& place) {
  try {
    std::unique_ptr<Processes> out(new Processes(place));
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(place.port);
    options.isServer = place.is_first() && !place.store_is_served;
    // Whoever serves may serve others too: the group itself waits for all.
    options.waitWorkers = false;
    options.timeout = kJoinTimeout;
    const auto store = c10::make_intrusive<c10d::TCPStore>(place.address, options);
    out->group_->store = c10::make_intrusive<c10d::PrefixStore>(place.store_prefix, store);
    const auto gloo = c10d::ProcessGroupGloo::Options::create(kJoinTimeout);
    const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
    gloo->devices.push_back(interface != nullptr ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
                                                 : c10d::ProcessGroupGloo::createDefaultDevice());
    out->group_->gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(out->group_->store, place.rank, place.size, gloo);
    out->group_->gloo->setTimeout(kSumTimeout);
    out->group_->store->setTimeout(kSumTimeout);
    return out;
  } catch (const std::exception&) {
    return fail(ErrorCode::kIo,
                fmt::format("process {} of {}: the others can't be reached at {}:{}", place.rank, place.size,
                            place.address, place.port),
                "start all of them; if the port is taken, set MASTER_PORT to another one");
  }
}

Status Processes::sum(at::Tensor values) {
  try {
    std::vector<at::Tensor> all{std::move(values)};
    group_->gloo->allreduce(all)->wait();
    return {};
  } catch (const std::exception&) {
    return fail(lost(place_, "another process of this run has ended or can't be reached"));
  }
}

Status Processes::agree(std::string_view what, std::string_view value) {
  const std::string key = fmt::format("agree/{}", n_agreed_++);
  const std::string digest = sha256_hex(fmt::format("{}\n{}", what, value));
  bool same = true;
  try {
    if (is_first())
      group_->store->set(key, digest);
    else
      same = group_->store->get_to_str(key) == digest;
  } catch (const std::exception&) {
    return fail(lost(place_, "the first process of this run has ended or can't be reached"));
  }
  if (same) return {};
  return fail(ErrorCode::kManifestMismatch,
              fmt::format("process {} of {}: not the same {} as the first process has", place_.rank, place_.size, what),
              "start all of them with the same arguments, on the same store");
}

#else

struct Processes::Group {};
Processes::Processes(const ProcessPlace& place) : place_(place) {}
Processes::~Processes() = default;
Result<std::unique_ptr<Processes>> Processes::join(const ProcessPlace& place) {
  return fail(ErrorCode::kUnsupportedModel,
              fmt::format("{} processes: this program was built without Gloo's headers", place.size),
              "install libgloo-dev and build again, or start one process");
}
Status Processes::sum(at::Tensor) { return {}; }
Status Processes::agree(std::string_view, std::string_view) { return {}; }

#endif

}  // namespace slm::finetune
