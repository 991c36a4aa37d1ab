// The processes of one data-parallel run: which of them this one is, and sums over all of them.
//
// A launcher tells each process its place in variables of the environment; kLaunchers in processes.cc is the table of
// them. The processes find each other through a c10d TCPStore that the first one serves, and sum through c10d's Gloo
// group over TCP, which gives every one of them the same bits, and a run of as many processes the same bits again.
// Errors: kUsage for variables that contradict each other; kUnsupportedModel where the program was built without Gloo's
//   headers; kManifestMismatch where processes weren't given the same work; kIo when another process has ended or can't
//   be reached.
// Threads: one call at a time, and every process makes the same calls in the same order.
// Source: torch `run.py` for torchrun's variables, openmpi `mpirun(1)` for OMPI_COMM_WORLD_*, mpich `hydra` for PMI_*,
//   slurm `srun(1)`, section "Output environment variables".
#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/error.h"

namespace slm::finetune {

struct ProcessPlace {
  std::string launcher;  // "torchrun", "mpirun", "mpiexec", "slurm"; "": alone
  int rank = 0, size = 1;
  int local_rank = 0, local_size = 1;  // among those of its machine
  std::string address = "127.0.0.1";   // where they meet
  int port = 29500;
  bool store_is_served = false;  // by the launcher itself
  std::string store_prefix;      // of what they put there: a restarted run must not read the one before
  bool is_first() const { return rank == 0; }
};

// variable(name): its value, or nullptr.
using Environment = std::function<const char*(const char* name)>;
Result<ProcessPlace> process_place(const Environment& variable);
// "node[07-09,12],other" → "node07".
std::string first_host(std::string_view slurm_nodes);

class Processes {
 public:
  // Waits for all of them. Requires: place.size > 1.
  static Result<std::unique_ptr<Processes>> join(const ProcessPlace& place);
  ~Processes();

  int rank() const { return place_.rank; }
  int size() const { return place_.size; }
  bool is_first() const { return place_.is_first(); }
  int local_size() const { return place_.local_size; }
  // Adds up what all of them hold, in place. Requires: contiguous, on the CPU, of the same length everywhere.
  Status sum(at::Tensor values);
  // Whether all of them have what the first one has; `what` names it.
  Status agree(std::string_view what, std::string_view value);

 private:
  struct Group;
  explicit Processes(const ProcessPlace& place);
  ProcessPlace place_;
  std::unique_ptr<Group> group_;
  int64_t n_agreed_ = 0;
};

}  // namespace slm::finetune
