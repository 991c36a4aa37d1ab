#include "cluster/artifact.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "cluster/map_impl.h"
#include "core/hash.h"
#include "embed/simd.h"
#include "schema/artifacts.h"

namespace slm::cluster {

namespace {

constexpr uint32_t kMapMagic = 0x4d4b5453;    // "STKM"
constexpr uint32_t kCallsMagic = 0x434b5453;  // "STKC"
constexpr uint32_t kVersion = 1;
constexpr size_t kCallBytes = 16 + 2 + 1;

tl::unexpected<Error> damaged(std::string_view what) {
  return fail(ErrorCode::kBadInput, fmt::format("a task map is damaged: {}", what));
}

Result<size_t> check_head(ByteSpan bytes, uint32_t magic) {
  if (bytes.size() < 8 || get_u32(bytes.data()) != magic) return damaged("it doesn't begin as one");
  if (const uint32_t version = get_u32(bytes.data() + 4); version != kVersion)
    return fail(ErrorCode::kFormatTooNew,
                fmt::format("task map of format {}; this program reads format {}", version, kVersion));
  return size_t{8};
}

}  // namespace

TaskMap::Impl::Hit TaskMap::Impl::nearest(const float* vector) const {
  std::vector<float> products(centroids.n_rows);
  embed::simd::dots(vector, centroids.values.data(), centroids.n_rows, centroids.n_columns, products.data());
  Hit hit;
  hit.centroid = static_cast<uint32_t>(std::max_element(products.begin(), products.end()) - products.begin());
  hit.similarity = products[hit.centroid];
  hit.outlier = hit.similarity < outlier_below[hit.centroid];
  return hit;
}

TaskMap::Impl::Hit TaskMap::Impl::nearest(const RequestText& request) const {
  std::vector<float> vector(features.width());
  features.embed(request, vector.data());
  return nearest(vector.data());
}

TaskMap::TaskMap(std::shared_ptr<const Impl> impl, std::vector<TaskInfo> tasks)
    : impl_(std::move(impl)), tasks_(std::move(tasks)) {}

Assignment TaskMap::assign(const Request& request) const {
  const auto hit = impl_->nearest(read_request(request));
  return {tasks_[impl_->task_of[hit.centroid]].id, hit.outlier, hit.similarity};
}

const TaskInfo* TaskMap::find(const TaskId& id) const {
  const auto at = std::find_if(tasks_.begin(), tasks_.end(), [&](const TaskInfo& task) { return task.id == id; });
  return at == tasks_.end() ? nullptr : &*at;
}

const TaskInfo* TaskMap::find(std::string_view id_or_name) const {
  if (const auto* task = find(TaskId{std::string(id_or_name)})) return task;
  const auto at =
      std::find_if(tasks_.begin(), tasks_.end(), [&](const TaskInfo& task) { return task.name == id_or_name; });
  return at == tasks_.end() ? nullptr : &*at;
}

Bytes TaskMap::serialise() const {
  Bytes out;
  put_u32(out, kMapMagic);
  put_u32(out, kVersion);
  put_u32(out, impl_->next_task);
  put_field(out, as_bytes(canonical_json(tasks_to_json(tasks_))));
  impl_->features.serialise(out);
  put_u32(out, static_cast<uint32_t>(impl_->centroids.n_rows));
  for (size_t i = 0; i < impl_->centroids.n_rows; ++i) {
    put_u32(out, impl_->task_of[i]);
    put_u32(out, impl_->numbers[i]);
    put_u32(out, std::bit_cast<uint32_t>(impl_->outlier_below[i]));
  }
  for (const float value : impl_->centroids.values) put_u32(out, std::bit_cast<uint32_t>(value));
  return out;
}

Result<TaskMap> TaskMap::parse(ByteSpan bytes) {
  SLM_TRY(size_t pos, check_head(bytes, kMapMagic));
  auto impl = std::make_shared<Impl>();
  const auto left = [&] { return bytes.size() - pos; };
  if (left() < 8) return damaged("it ends early");
  impl->next_task = get_u32(bytes.data() + pos);
  const uint32_t n_json = get_u32(bytes.data() + pos + 4);
  pos += 8;
  if (left() < n_json) return damaged("it ends early");
  SLM_TRY(const auto list, parse_json(as_text(bytes.subspan(pos, n_json))));
  SLM_TRY(auto tasks, tasks_from_json(list));
  pos += n_json;
  if (tasks.empty() || tasks.size() > kMaxTasks) return damaged("it has no tasks");
  SLM_TRY(impl->features, Featuriser::parse(bytes, pos));
  if (left() < 4) return damaged("it ends early");
  const uint32_t n = get_u32(bytes.data() + pos);
  pos += 4;
  const size_t width = impl->features.width();
  if (n == 0 || n > kMaxTasks || left() != size_t{n} * (12 + 4 * width)) return damaged("its centroids end early");
  for (uint32_t i = 0; i < n; ++i, pos += 12) {
    impl->task_of.push_back(get_u32(bytes.data() + pos));
    impl->numbers.push_back(get_u32(bytes.data() + pos + 4));
    impl->outlier_below.push_back(std::bit_cast<float>(get_u32(bytes.data() + pos + 8)));
    if (impl->task_of.back() >= tasks.size()) return damaged("a centroid has no task");
  }
  impl->centroids = embed::DenseMatrix(n, width);
  for (auto& value : impl->centroids.values) {
    value = std::bit_cast<float>(get_u32(bytes.data() + pos));
    if (!(value >= -2 && value <= 2)) return damaged("a centroid is out of range");
    pos += 4;
  }
  return TaskMap(std::move(impl), std::move(tasks));
}

std::string task_id(uint32_t number) { return fmt::format("t{:02}", number); }

std::string sealed_name(std::string_view id, std::string_view file) { return fmt::format("{}/{}/{}", kStep, id, file); }

Bytes serialise_calls(const std::vector<AssignedCall>& calls) {
  Bytes out;
  out.reserve(16 + kCallBytes * calls.size());
  put_u32(out, kCallsMagic);
  put_u32(out, kVersion);
  put_u64(out, calls.size());
  for (const auto& call : calls) {
    put_bytes(out, call.id.bytes);
    put_u16(out, call.task);
    out.push_back(call.outlier ? 1 : 0);
  }
  return out;
}

Result<std::vector<AssignedCall>> parse_calls(ByteSpan bytes, size_t n_tasks) {
  SLM_TRY(size_t pos, check_head(bytes, kCallsMagic));
  if (bytes.size() < 16) return damaged("its list of calls ends early");
  const uint64_t n = get_u64(bytes.data() + pos);
  pos += 8;
  if (n != (bytes.size() - pos) / kCallBytes || (bytes.size() - pos) % kCallBytes != 0)
    return damaged("its list of calls ends early");
  std::vector<AssignedCall> out(n);
  for (auto& call : out) {
    std::copy_n(bytes.data() + pos, 16, call.id.bytes.begin());
    call.task = static_cast<uint16_t>(bytes[pos + 16] | bytes[pos + 17] << 8);
    call.outlier = bytes[pos + 18] != 0;
    pos += kCallBytes;
    if (call.task >= n_tasks) return damaged("a call has no task");
  }
  return out;
}

json::object to_json(const TaskInfo& task) {
  return {{"task", task.id.value},
          {"name", task.name},
          {"kind", score::kind_name(task.kind)},
          {"n_calls", task.n_calls},
          {"n_sessions", task.n_sessions},
          {"n_outliers", task.n_outliers},
          {"n_in_tokens", task.n_in_tokens},
          {"n_out_tokens", task.n_out_tokens},
          {"p50_tokens", task.p50_tokens},
          {"p99_tokens", task.p99_tokens},
          {"call_share", task.call_share},
          {"token_share", task.token_share},
          {"cost_share", task.cost_share},
          {"model", task.model},
          {"excluded", task.excluded},
          {"cohesion", task.cohesion}};
}

json::array tasks_to_json(const std::vector<TaskInfo>& tasks) {
  json::array out;
  for (const auto& task : tasks) out.push_back(to_json(task));
  return out;
}

Result<std::vector<TaskInfo>> tasks_from_json(const json::value& value) {
  const auto* array = value.if_array();
  if (array == nullptr) return damaged("its list of tasks isn't one");
  std::vector<TaskInfo> out;
  for (const auto& item : *array) {
    SLM_TRY(const auto* object, want_object(item, "task"));
    TaskInfo task;
    SLM_TRY(task.id.value, want_string(*object, "task", "task"));
    SLM_TRY(task.name, want_string(*object, "name", "task"));
    SLM_TRY(const auto kind, want_string(*object, "kind", "task"));
    const auto parsed = score::parse_kind(kind);
    if (!parsed) return damaged("a task has an unknown kind");
    task.kind = *parsed;
    struct Count {
      const char* key;
      int64_t* field;
    };
    for (const Count& count :
         {Count{"n_calls", &task.n_calls}, Count{"n_sessions", &task.n_sessions}, Count{"n_outliers", &task.n_outliers},
          Count{"n_in_tokens", &task.n_in_tokens}, Count{"n_out_tokens", &task.n_out_tokens},
          Count{"p50_tokens", &task.p50_tokens}, Count{"p99_tokens", &task.p99_tokens}}) {
      SLM_TRY(*count.field, want_int(*object, count.key, "task"));
    }
    struct Ratio {
      const char* key;
      double* field;
    };
    for (const Ratio& ratio : {Ratio{"call_share", &task.call_share}, Ratio{"token_share", &task.token_share},
                               Ratio{"cost_share", &task.cost_share}, Ratio{"cohesion", &task.cohesion}}) {
      SLM_TRY(*ratio.field, want_number(*object, ratio.key, "task"));
    }
    task.model = get_string(*object, "model");
    task.excluded = get_bool(*object, "excluded").value_or(false);
    out.push_back(std::move(task));
  }
  return out;
}

bool is_unreadable(ErrorCode code) {
  return code == ErrorCode::kBadInput || code == ErrorCode::kFormatTooNew || code == ErrorCode::kIntegrity;
}

namespace {

Result<LoadedTasks> read_tasks(store::Store& store) {
  SLM_TRY(auto manifest, read_current(store.dir(), kStep));
  const auto dir = artifact_dir(store.dir(), kStep, manifest.id);
  const auto open = [&](std::string_view file) -> Result<Bytes> {
    SLM_TRY(auto bytes, store.open_sealed_file(dir / file, sealed_name(manifest.id, file)));
    const auto output = manifest.outputs.find(std::string(file));
    if (output == manifest.outputs.end() || output->second != to_hex(sha256(bytes)))
      return fail(ErrorCode::kIntegrity,
                  fmt::format("task map {}: {} isn't what its manifest names", manifest.id, file));
    return bytes;
  };
  SLM_TRY(const auto map_bytes, open(kMapFile));
  SLM_TRY(auto map, TaskMap::parse(map_bytes));
  SLM_TRY(const auto call_bytes, open(kCallsFile));
  SLM_TRY(auto calls, parse_calls(call_bytes, map.tasks().size()));
  return LoadedTasks{std::move(manifest), std::move(map), std::move(calls)};
}

}  // namespace

Result<LoadedTasks> load_tasks(store::Store& store) {
  auto tasks = read_tasks(store);
  if (!tasks && is_unreadable(tasks.error().code)) {
    Error error = std::move(tasks).error();
    error.hint = error.code == ErrorCode::kFormatTooNew ? "a newer slmconv, or slmconv cluster --anew"
                                                        : "slmconv store verify, then slmconv cluster --anew";
    return fail(std::move(error));
  }
  return tasks;
}

Result<std::vector<TaskInfo>> task_list(const std::filesystem::path& store_dir) {
  SLM_TRY(const auto manifest, read_current(store_dir, kStep));
  const auto* tasks = find(manifest.summary, "tasks");
  if (tasks == nullptr)
    return fail(ErrorCode::kIntegrity, fmt::format("task map {}: its manifest lists no tasks", manifest.id));
  return tasks_from_json(*tasks);
}

}  // namespace slm::cluster
