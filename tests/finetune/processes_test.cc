// Where launchers say a process stands, how a step is cut, and real processes that train together: against the one
// process that trains alone.
#include "finetune/processes.h"

#include <ATen/Parallel.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <map>
#include <sstream>

#include "core/file.h"
#include "core/progress.h"
#include "finetune/source.h"
#include "finetune/toy_source.h"
#include "finetune/trainer.h"
#include "nn/decoder.h"

namespace slm::finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using Variables = std::map<std::string, std::string>;

Result<ProcessPlace> place(const Variables& variables) {
  return process_place([&](const char* name) {
    const auto it = variables.find(name);
    return it == variables.end() ? nullptr : it->second.c_str();
  });
}

TEST(ProcessPlace, EveryLauncherSaysWhereAProcessStands) {
  EXPECT_EQ(place({})->size, 1);
  const auto torchrun = place({{"RANK", "3"},
                               {"WORLD_SIZE", "4"},
                               {"LOCAL_RANK", "1"},
                               {"LOCAL_WORLD_SIZE", "2"},
                               {"MASTER_ADDR", "first.example"},
                               {"MASTER_PORT", "1234"},
                               {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                               {"TORCHELASTIC_RESTART_COUNT", "2"}});
  ASSERT_TRUE(torchrun);
  EXPECT_EQ(torchrun->launcher, "torchrun");
  EXPECT_EQ(torchrun->rank, 3);
  EXPECT_EQ(torchrun->size, 4);
  EXPECT_EQ(torchrun->local_rank, 1);
  EXPECT_EQ(torchrun->local_size, 2);
  EXPECT_EQ(torchrun->address, "first.example");
  EXPECT_EQ(torchrun->port, 1234);
  EXPECT_TRUE(torchrun->store_is_served);
  EXPECT_EQ(torchrun->store_prefix, "slmconv/2");

  const auto mpirun = place({{"OMPI_COMM_WORLD_RANK", "1"},
                             {"OMPI_COMM_WORLD_SIZE", "2"},
                             {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                             {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}});
  ASSERT_TRUE(mpirun);
  EXPECT_EQ(mpirun->launcher, "mpirun");
  EXPECT_EQ(mpirun->address, "127.0.0.1");
  EXPECT_FALSE(mpirun->store_is_served);

  const Variables step{{"SLURM_PROCID", "5"},
                       {"SLURM_STEP_NUM_TASKS", "6"},
                       {"SLURM_NTASKS", "6"},
                       {"SLURM_LOCALID", "1"},
                       {"SLURM_STEP_TASKS_PER_NODE", "2(x3)"},
                       {"SLURM_JOB_NODELIST", "node[07-09]"},
                       {"SLURM_JOB_ID", "81"},
                       {"SLURM_STEP_ID", "1"}};
  const auto slurm = place(step);
  ASSERT_TRUE(slurm);
  EXPECT_EQ(slurm->launcher, "slurm");
  EXPECT_EQ(slurm->rank, 5);
  EXPECT_EQ(slurm->size, 6);
  EXPECT_EQ(slurm->local_size, 2);
  EXPECT_EQ(slurm->address, "node07");
  EXPECT_EQ(slurm->port, 20000 + 81 * 7 + 1);
  Variables one_machine = step;
  one_machine["SLURM_STEP_TASKS_PER_NODE"] = "6";
  EXPECT_EQ(place(one_machine)->address, "127.0.0.1");
  // A batch script has its job's rank and number of tasks too, but is one process: srun has not been called.
  Variables script = step;
  script.erase("SLURM_STEP_ID");
  EXPECT_EQ(place(script)->size, 1);
  // torchrun inside a job: its own variables count.
  Variables both = step;
  both.insert({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "here"}});
  EXPECT_EQ(place(both)->size, 2);
  EXPECT_EQ(place({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MASTER_ADDR", "here"}})->launcher, "mpiexec");
}

TEST(ProcessPlace, VariablesThatContradictEachOtherAreRefused) {
  for (const Variables& bad :
       {Variables{{"RANK", "2"}, {"WORLD_SIZE", "2"}}, Variables{{"RANK", "-1"}, {"WORLD_SIZE", "2"}},
        Variables{{"RANK", "x"}, {"WORLD_SIZE", "2"}},
        Variables{{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_WORLD_SIZE", "1"}},
        Variables{{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_PORT", "99999"}},
        Variables{{"SLURM_STEP_ID", "0"}, {"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "2"}}})
    EXPECT_EQ(place(bad).error().code, ErrorCode::kUsage);
}

TEST(ProcessPlace, TheFirstHostOfANodeList) {
  for (const auto& [list, host] : {std::pair{"alone", "alone"},
                                   {"a,b", "a"},
                                   {"node[07-09,12],other", "node07"},
                                   {"node[3]", "node3"},
                                   {"n[1-2]-ib,m", "n1-ib"},
                                   {"r[1-2]n[04-05]", "r1n04"},
                                   {"", ""},
                                   {"cut[", "cut"}})
    EXPECT_EQ(first_host(list), host) << list;
}

TEST(CutStep, PartsAreDisjointWholeAndAboutEven) {
  const std::vector<uint32_t> step{4, 1, 7, 9, 2};
  const std::vector<int64_t> lengths{10, 10, 40, 10, 10};
  for (const int n : {1, 2, 3, 5, 9}) {
    const auto parts = cut_step(step, lengths, n);
    ASSERT_EQ(parts.size(), static_cast<size_t>(n));
    std::vector<uint32_t> all;
    for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
    EXPECT_EQ(all, step);
  }
  EXPECT_EQ(cut_step({0, 1, 2, 3}, {5, 5, 5, 5}, 2), (std::vector<std::vector<uint32_t>>{{0, 1}, {2, 3}}));
}

// What a process of the tests below trains.
struct Job {
  int64_t n_steps = 20, batch = 6;
  double dropout = 0;
  bool recompute = false;
  int64_t end_at = 0;    // this process ends after so many steps, as if killed
  std::string resume;    // a checkpoint
  std::string settings;  // of its own
  std::string saved;     // where a checkpoint goes
};
struct Trained {
  std::vector<double> losses, validation;
  std::vector<at::Tensor> values;
  Error error{ErrorCode::kOk, {}, {}};
};

std::vector<nn::Sequence> counting(int n, uint64_t seed) {
  std::vector<nn::Sequence> out(static_cast<size_t>(n));
  Prng prng(seed);
  for (auto& s : out) {
    const auto first = static_cast<int64_t>(prng.below(53)), length = static_cast<int64_t>(6 + prng.below(10));
    for (int64_t t = 0; t < length; ++t) s.ids.push_back(static_cast<int32_t>((first + t) % 53));
    s.n_prompt = 2;
  }
  return out;
}

Trained train(const Job& job, Processes* processes) {
  at::set_num_threads(1);
  auto decoder = nn::Decoder::random(testing::toy_config(), 9, {at::kFloat, at::kCPU, false}).value();
  nn::LoraConfig lora;
  lora.rank = 4;
  lora.dropout = job.dropout;
  EXPECT_TRUE(decoder.add_lora(lora, 4, true));
  const int rank = processes == nullptr ? 0 : processes->rank(), n = processes == nullptr ? 1 : processes->size();
  auto examples = counting(25, 11);
  std::vector<uint32_t> sessions(examples.size());
  for (uint32_t i = 0; i < sessions.size(); ++i) sessions[i] = i;
  ShuffledSource source(std::move(examples), std::move(sessions),
                        {.batch = job.batch,
                         .max_batch_tokens = 40,
                         .seed = 5,
                         .share_prefixes = job.dropout == 0,
                         .rank = rank,
                         .n_ranks = n});
  TrainOptions options;
  options.schedule = {1e-2, 3, job.n_steps, 0.1};
  options.adamw.weight_decay = 0.1;
  options.validate_every = 5;
  options.identity = "toy";
  options.processes = processes;
  options.recomputes = [&](const nn::ForestBatch&) { return job.recompute; };
  const auto clock = fixed_clock(0, 10);
  Trainer trainer(decoder, source, options, *clock);
  // One example validates, so that some process has none.
  const auto held_out = counting(1, 12);
  if (rank == 0) trainer.set_validation(nn::make_forests(held_out, {1 << 20}));
  Trained out;
  if (!job.resume.empty()) {
    const auto bytes = read_file(job.resume).value();
    EXPECT_TRUE(trainer.resume(as_bytes(bytes)));
  }
  TrainHooks hooks;
  hooks.on_step = [&](const StepReport& r) {
    out.losses.push_back(r.loss);
    if (job.end_at == r.step) _exit(9);
  };
  hooks.on_validation = [&](const ValidationReport& r) { out.validation.push_back(r.loss); };
  if (!job.saved.empty()) hooks.save = [&](const Bytes& bytes) { return write_file_atomic(job.saved, as_text(bytes)); };
  const auto result = trainer.run(hooks);
  if (!result) out.error = result.error();
  for (const auto& p : decoder.parameters()) out.values.push_back(p.value.detach().clone());
  return out;
}

std::string text_of(const Trained& t) {
  std::string out = fmt::format("{}\n{}\n", static_cast<int>(t.error.code), t.error.message);
  for (const auto* list : {&t.losses, &t.validation}) {
    for (const double x : *list) out += fmt::format("{} ", x);
    out += '\n';
  }
  for (const auto& v : t.values) out.append(static_cast<const char*>(v.data_ptr()), static_cast<size_t>(v.nbytes()));
  return out;
}

// A process of its own: this program again, as the test below. Its report is a file.
class ProcessesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / fmt::format("slmconv_processes_{}", getpid());
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }

  static int free_port() {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
    close(fd);
    return ntohs(address.sin_port);
  }
  pid_t start(int rank, int size, int port, const Variables& more) {
    const std::string program = fs::read_symlink("/proc/self/exe").string();
    std::vector<std::string> args{program, "--gtest_also_run_disabled_tests",
                                  "--gtest_filter=ProcessesChild.DISABLED_OneOfThem"};
    Variables variables{{"RANK", std::to_string(rank)}, {"WORLD_SIZE", std::to_string(size)},
                        {"MASTER_ADDR", "127.0.0.1"},   {"MASTER_PORT", std::to_string(port)},
                        {"OMP_NUM_THREADS", "1"},       {"SLM_OUT", report(rank).string()}};
    variables.insert(more.begin(), more.end());
    std::vector<std::string> environment;
    for (const auto& [name, value] : variables) environment.push_back(name + "=" + value);
    for (char** e = environ; *e != nullptr; ++e)
      if (!variables.contains(std::string(*e).substr(0, std::string_view(*e).find('=')))) environment.emplace_back(*e);
    std::vector<char*> argv, envp;
    for (auto& a : args) argv.push_back(a.data());
    for (auto& e : environment) envp.push_back(e.data());
    argv.push_back(nullptr);
    envp.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, (dir_ / "stdout").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    pid_t pid = 0;
    EXPECT_EQ(posix_spawn(&pid, program.c_str(), &actions, nullptr, argv.data(), envp.data()), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
  }
  fs::path report(int rank) const { return dir_ / fmt::format("rank{}", rank); }
  // Reports of all of them; "" of one that left none.
  std::vector<std::string> run(int size, const std::vector<Variables>& more) {
    const int port = free_port();
    std::vector<pid_t> children;
    for (int rank = 0; rank < size; ++rank) {
      fs::remove(report(rank));
      children.push_back(start(rank, size, port, more[static_cast<size_t>(rank) % more.size()]));
    }
    for (const pid_t child : children) {
      int status = 0;
      waitpid(child, &status, 0);
      EXPECT_FALSE(WIFSIGNALED(status)) << "signal " << WTERMSIG(status);
    }
    std::vector<std::string> out;
    for (int rank = 0; rank < size; ++rank) out.push_back(read_file(report(rank)).value_or(""));
    return out;
  }
  static Trained parse(const std::string& text) {
    Trained out;
    std::istringstream in(text);
    std::string line;
    std::getline(in, line);
    if (!line.empty()) out.error.code = static_cast<ErrorCode>(std::stoi(line));
    std::getline(in, out.error.message);
    for (auto* list : {&out.losses, &out.validation}) {
      std::getline(in, line);
      std::istringstream numbers(line);
      for (double x = 0; numbers >> x;) list->push_back(x);
    }
    auto at = static_cast<size_t>(in.tellg());
    auto decoder = nn::Decoder::random(testing::toy_config(), 9, {at::kFloat, at::kCPU, false}).value();
    nn::LoraConfig lora;
    lora.rank = 4;
    EXPECT_TRUE(decoder.add_lora(lora, 4, true));
    for (const auto& p : decoder.parameters()) {
      at::Tensor v = at::empty(p.value.sizes());
      if (at + static_cast<size_t>(v.nbytes()) > text.size()) break;
      std::memcpy(v.data_ptr(), text.data() + at, static_cast<size_t>(v.nbytes()));
      at += static_cast<size_t>(v.nbytes());
      out.values.push_back(v);
    }
    return out;
  }
  static void expect_near(const Trained& a, const Trained& b) {
    ASSERT_EQ(a.losses.size(), b.losses.size());
    for (size_t i = 0; i < a.losses.size(); ++i) EXPECT_NEAR(a.losses[i], b.losses[i], 1e-5) << "step " << i + 1;
    ASSERT_EQ(a.validation.size(), b.validation.size());
    for (size_t i = 0; i < a.validation.size(); ++i) EXPECT_NEAR(a.validation[i], b.validation[i], 1e-5);
    expect_near_values(a, b);
  }
  static void expect_near_values(const Trained& a, const Trained& b) {
    ASSERT_FALSE(a.values.empty());
    ASSERT_EQ(a.values.size(), b.values.size());
    for (size_t i = 0; i < a.values.size(); ++i)
      EXPECT_LT((a.values[i] - b.values[i]).norm().item<double>(), 1e-4 * a.values[i].norm().item<double>()) << i;
  }
  fs::path dir_;
};

TEST(ProcessesChild, DISABLED_OneOfThem) {
  std::signal(SIGPIPE, SIG_IGN);  // as the program does
  const char* out = std::getenv("SLM_OUT");
  ASSERT_NE(out, nullptr) << "a part of other tests";
  const auto variable = [](const char* name) {
    const char* text = std::getenv(name);
    return std::string(text == nullptr ? "" : text);
  };
  const auto here = process_place([](const char* name) { return std::getenv(name); });
  ASSERT_TRUE(here);
  auto processes = Processes::join(*here);
  if (!processes) {  // the other one may have ended while this one still joins
    ASSERT_TRUE(write_file_atomic(out, text_of({.error = processes.error()})));
    return;
  }
  Job job;
  if (!variable("SLM_END_AT").empty()) job.end_at = std::stoi(variable("SLM_END_AT"));
  if (!variable("SLM_BATCH").empty()) job.batch = std::stoi(variable("SLM_BATCH"));
  if (!variable("SLM_DROPOUT").empty()) job.dropout = std::stod(variable("SLM_DROPOUT"));
  job.recompute = !variable("SLM_RECOMPUTE").empty();
  job.resume = variable("SLM_RESUME");
  job.saved = variable("SLM_SAVED");
  if (const Status same = (*processes)->agree("settings", variable("SLM_SETTINGS")); !same) {
    ASSERT_TRUE(write_file_atomic(out, text_of({.error = same.error()})));
    return;
  }
  ASSERT_TRUE(write_file_atomic(out, text_of(train(job, processes->get()))));
}

TEST_F(ProcessesTest, SeveralTrainWhatOneTrains) {
  // Steps of 6 examples for 2 processes; and of 2 for 3, where one of them has nothing to do.
  for (const auto& [n, batch] : {std::pair{2, 6}, {3, 2}}) {
    SCOPED_TRACE(n);
    Job job;
    job.batch = batch;
    const Trained alone = train(job, nullptr);
    ASSERT_EQ(alone.error.code, ErrorCode::kOk) << alone.error.message;
    ASSERT_EQ(alone.losses.size(), 20u);
    EXPECT_LT(alone.validation.back(), alone.validation.front()) << "nothing was learnt";
    const auto reports = run(n, {{{"SLM_BATCH", std::to_string(batch)}}});
    ASSERT_NE(reports[0], "");
    for (const auto& report : reports) EXPECT_EQ(report, reports[0]) << "not the same bits";
    expect_near(alone, parse(reports[0]));
    EXPECT_EQ(run(n, {{{"SLM_BATCH", std::to_string(batch)}}})[0], reports[0]) << "not the same bits again";
  }
}

// A mask goes with its example and token, wherever they are computed.
TEST_F(ProcessesTest, DropoutIsTheSameForAnyNumber) {
  Job job;
  const Trained plain = train(job, nullptr);
  job.dropout = 0.3;
  const Trained alone = train(job, nullptr);
  double most = 0;
  for (size_t i = 0; i < alone.losses.size(); ++i) most = std::max(most, std::abs(alone.losses[i] - plain.losses[i]));
  EXPECT_GT(most, 1e-3) << "nothing was dropped out";
  expect_near(alone, parse(run(3, {{{"SLM_DROPOUT", "0.3"}}})[0]));
}

// One of them has less memory than the other.
TEST_F(ProcessesTest, WhoComputesLayersAgainMakesNoDifference) {
  const Variables plain{{"SLM_DROPOUT", "0.3"}}, again{{"SLM_DROPOUT", "0.3"}, {"SLM_RECOMPUTE", "1"}};
  const auto want = run(2, {plain});
  ASSERT_EQ(parse(want[0]).losses.size(), 20u);
  EXPECT_EQ(run(2, {again, plain}), want);
}

// After the fifth step, which is validated, one of them ends before it takes part in that. Going on starts with it.
TEST_F(ProcessesTest, OneLostWhileValidatingLeavesACheckpointToo) {
  const std::string straight = run(2, {{}})[0];
  const fs::path saved = dir_ / "checkpoint";
  const auto reports = run(2, {{{"SLM_SAVED", saved.string()}}, {{"SLM_END_AT", "5"}}});
  const Trained left = parse(reports[0]);
  EXPECT_EQ(left.error.code, ErrorCode::kIo);
  EXPECT_EQ(left.losses.size(), 5u);
  EXPECT_TRUE(left.validation.empty());
  ASSERT_TRUE(fs::exists(saved));
  const Trained resumed = parse(run(2, {{{"SLM_RESUME", saved.string()}}})[0]), whole = parse(straight);
  EXPECT_EQ(resumed.losses, std::vector<double>(whole.losses.begin() + 5, whole.losses.end()));
  EXPECT_EQ(resumed.validation, whole.validation);
  for (size_t i = 0; i < whole.values.size(); ++i) EXPECT_TRUE(at::equal(resumed.values[i], whole.values[i])) << i;
}

TEST_F(ProcessesTest, ALostOneEndsAllAndAnyNumberGoesOn) {
  const std::string straight = run(2, {{}})[0];
  const fs::path saved = dir_ / "checkpoint";
  const auto begun = std::chrono::steady_clock::now();
  const auto reports = run(2, {{{"SLM_SAVED", saved.string()}}, {{"SLM_END_AT", "7"}}});
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(20));
  EXPECT_EQ(reports[1], "");
  const Trained left = parse(reports[0]);
  EXPECT_EQ(left.error.code, ErrorCode::kIo);
  EXPECT_THAT(left.error.message, HasSubstr("process 0 of 2: another process of this run has ended"));
  EXPECT_EQ(left.losses.size(), 7u);
  ASSERT_TRUE(fs::exists(saved));

  const auto rest = run(2, {{{"SLM_RESUME", saved.string()}}});
  const Trained resumed = parse(rest[0]), whole = parse(straight);
  EXPECT_EQ(resumed.losses, std::vector<double>(whole.losses.begin() + 7, whole.losses.end()));
  for (size_t i = 0; i < whole.values.size(); ++i) EXPECT_TRUE(at::equal(resumed.values[i], whole.values[i])) << i;

  Job job;
  job.resume = saved.string();
  const Trained alone = train(job, nullptr);
  EXPECT_EQ(alone.losses.size(), 13u);
  expect_near_values(alone, whole);
}

TEST_F(ProcessesTest, OtherSettingsAreNoticed) {
  const auto reports = run(2, {{{"SLM_SETTINGS", "a"}}, {{"SLM_SETTINGS", "b"}}});
  EXPECT_EQ(parse(reports[1]).error.code, ErrorCode::kManifestMismatch);
  EXPECT_EQ(parse(reports[0]).error.code, ErrorCode::kIo);
}

}  // namespace
}  // namespace slm::finetune
