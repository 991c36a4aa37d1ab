#include "finetune/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/progress.h"
#include "nn/safetensors.h"

namespace slm::finetune {

namespace {

constexpr int kCheckpointVersion = 1;
constexpr const char* kStateName = "state";

ByteSpan bytes_of(const at::Tensor& t) {
  return {static_cast<const uint8_t*>(t.data_ptr()), static_cast<size_t>(t.nbytes())};
}

const char* type_name(const at::Tensor& t) { return t.scalar_type() == at::kDouble ? "F64" : "F32"; }

}  // namespace

Trainer::Trainer(nn::Decoder& decoder, BatchSource& source, TrainOptions options, Clock& clock)
    : decoder_(decoder),
      source_(source),
      options_(std::move(options)),
      clock_(clock),
      optimiser_(decoder.parameters(), options_.adamw) {}

Result<StepReport> Trainer::one_step() {
  SLM_TRY(const auto batches, source_.next());
  return nn::guarded([&]() -> Result<StepReport> {
    double loss = 0, weight = 0;
    int64_t n_tokens = 0, n_recomputed = 0;
    // Masks follow from this and the example, so that neither a checkpoint nor the number of processes changes them.
    const uint64_t seed = options_.seed + 0x9e3779b97f4a7c15ULL * static_cast<uint64_t>(step_ + 1);
    for (const auto& batch : batches) {
      if (batch.loss_at.empty()) continue;
      nn::Distillation distil;
      if (options_.teacher != nullptr) distil = {options_.teacher->scores(batch), options_.distil};
      if (options_.logged) distil = {{}, options_.distil, &batch.logged};
      const bool distils = options_.teacher != nullptr || options_.logged;
      const bool recompute = options_.recomputes && options_.recomputes(batch);
      n_recomputed += recompute;
      const auto out =
          decoder_.loss(batch, {.dropout_seed = seed, .distil = distils ? &distil : nullptr, .recompute = recompute});
      out.loss.backward();
      loss += out.loss.item<double>();
      weight += batch.loss_weight();
      n_tokens += batch.n_tokens;
    }
    if (options_.processes != nullptr) {
      const at::Tensor figures =
          at::tensor({loss, weight, static_cast<double>(n_tokens), interrupted() ? 1.0 : 0.0}, at::kDouble);
      SLM_CHECK(gather(figures));
      const double* sums = figures.data_ptr<double>();
      loss = sums[0];
      weight = sums[1];
      n_tokens = std::llround(sums[2]);
      stop_ = sums[3] > 0;
    }
    n_tokens_ += n_tokens;
    StepReport report;
    report.rate = learning_rate(options_.schedule, step_);
    report.loss = weight > 0 ? loss / weight : 0;
    report.grad_norm = weight > 0 ? optimiser_.step(report.rate, weight / source_.fullness()) : 0;
    ++step_;
    report.step = step_;
    report.n_steps = options_.schedule.n_steps;
    report.n_tokens = n_tokens_;
    report.n_recomputed = n_recomputed;
    if (diverges(report.loss, report.grad_norm))
      return fail(
          ErrorCode::kUnexpected,
          fmt::format("training diverged at step {}: loss {}, gradient norm {}", step_, report.loss, report.grad_norm),
          "use a lower --lr");
    last_loss_ = report.loss;
    return report;
  });
}

Status Trainer::gather(at::Tensor figures) {
  const auto& parameters = optimiser_.parameters();
  std::vector<at::Tensor> parts;
  for (const auto& p : parameters) {
    const at::Tensor& gradient = p.value.grad();
    parts.push_back(gradient.defined() ? gradient.reshape({-1}).cpu()
                                       : at::zeros({p.value.numel()}, p.value.options().device(at::kCPU)));
  }
  const at::Tensor all = at::cat(parts);
  parts.clear();
  lost_ = true;
  SLM_CHECK(options_.processes->sum(all));
  SLM_CHECK(options_.processes->sum(std::move(figures)));
  lost_ = false;
  int64_t at = 0;
  for (const auto& p : parameters) {
    at::Tensor value = p.value;
    value.mutable_grad() = all.narrow(0, at, value.numel()).view(value.sizes()).to(value.device());
    at += value.numel();
  }
  return {};
}

bool Trainer::diverges(double loss, double grad_norm) {
  if (!std::isfinite(loss) || !std::isfinite(grad_norm)) return true;
  if (step_ == 1) first_loss_ = mean_loss_ = loss;
  mean_loss_ += (loss - mean_loss_) / 10;
  const double t = options_.teacher != nullptr ? options_.distil.temperature : 1;
  const double guess = std::log(static_cast<double>(decoder_.config().vocab_size)) * std::max(1.0, t * t);
  return mean_loss_ > std::max(1.5 * guess, 3 * first_loss_);
}

Result<ValidationReport> Trainer::validate() {
  return nn::guarded([&]() -> Result<ValidationReport> {
    at::NoGradGuard no_grad;
    ValidationReport report;
    report.step = step_;
    double loss = 0, weight = 0;
    int64_t hits = 0, n = 0;
    for (const auto& batch : validation_) {
      if (batch.loss_at.empty()) continue;
      const auto out = decoder_.loss(batch);
      loss += out.loss.item<double>();
      weight += batch.loss_weight();
      hits += out.hits;
      n += static_cast<int64_t>(batch.loss_at.size());
    }
    if (options_.processes != nullptr) {
      const at::Tensor figures =
          at::tensor({loss, weight, static_cast<double>(hits), static_cast<double>(n)}, at::kDouble);
      lost_ = true;
      SLM_CHECK(options_.processes->sum(figures));
      lost_ = false;
      const double* sums = figures.data_ptr<double>();
      loss = sums[0];
      weight = sums[1];
      hits = std::llround(sums[2]);
      n = std::llround(sums[3]);
    }
    report.loss = weight > 0 ? loss / weight : 0;
    report.accuracy = n > 0 ? static_cast<double>(hits) / static_cast<double>(n) : 0;
    report.best = best_step_ == 0 || report.loss < best_loss_;
    if (report.best) {
      best_step_ = step_;
      best_loss_ = report.loss;
      best_accuracy_ = report.accuracy;
      since_best_ = 0;
      keep_best();
    } else {
      ++since_best_;
    }
    return report;
  });
}

void Trainer::keep_best() {
  best_.clear();
  for (const auto& p : optimiser_.parameters()) best_.push_back(p.value.detach().clone());
}

void Trainer::restore_best() {
  if (best_.empty()) return;
  for (size_t i = 0; i < best_.size(); ++i) optimiser_.parameters()[i].value.detach().copy_(best_[i]);
}

Bytes Trainer::checkpoint() {
  const json::object state{{"version", kCheckpointVersion},
                           {"identity", options_.identity},
                           {"n_steps", options_.schedule.n_steps},
                           {"step", step_},
                           {"n_tokens", n_tokens_},
                           {"loss", last_loss_},
                           {"first_loss", first_loss_},
                           {"mean_loss", mean_loss_},
                           {"optimiser_steps", optimiser_.n_steps()},
                           {"source", source_.position()},
                           {"best_step", best_step_},
                           {"best_loss", best_loss_},
                           {"best_accuracy", best_accuracy_},
                           {"since_best", since_best_},
                           {"validation_due", due_}};
  const std::string text = json::serialize(state);
  std::vector<at::Tensor> held;  // contiguous CPU copies live until the file is written
  std::vector<nn::TensorToWrite> tensors{{kStateName, "U8", {static_cast<int64_t>(text.size())}, as_bytes(text)}};
  const auto add = [&](const std::string& prefix, const std::string& name, const at::Tensor& value) {
    held.push_back(value.detach().cpu().contiguous());
    tensors.push_back({prefix + name, type_name(held.back()), held.back().sizes().vec(), bytes_of(held.back())});
  };
  const auto& parameters = optimiser_.parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    add("value.", parameters[i].name, parameters[i].value);
    add("first.", parameters[i].name, optimiser_.first_moments()[i]);
    add("second.", parameters[i].name, optimiser_.second_moments()[i]);
    if (!best_.empty()) add("best.", parameters[i].name, best_[i]);
  }
  return nn::write_safetensors(tensors);
}

Status Trainer::resume(ByteSpan bytes) {
  SLM_TRY(const auto file, nn::SafeTensors::from_bytes(Bytes(bytes.begin(), bytes.end()), "checkpoint"));
  const auto found = file.tensors().find(kStateName);
  if (found == file.tensors().end()) return fail(ErrorCode::kBadInput, "checkpoint: no training state in it");
  SLM_TRY(const auto value, parse_json(as_text(found->second.data)));
  SLM_TRY(const auto* state, want_object(value, "checkpoint"));
  const auto number = [&](std::string_view key) { return get_int(*state, key).value_or(0); };
  if (number("version") != kCheckpointVersion)
    return fail(ErrorCode::kFormatTooNew,
                fmt::format("checkpoint of version {}, this program reads {}", number("version"), kCheckpointVersion));
  if (get_string(*state, "identity") != options_.identity || number("n_steps") != options_.schedule.n_steps)
    return fail(ErrorCode::kManifestMismatch, "checkpoint: made with other data or other settings than these",
                "use the same settings, or start anew without --resume");
  const auto* position = get_object(*state, "source");
  if (position == nullptr) return fail(ErrorCode::kBadInput, "checkpoint: no position of the data in it");
  return nn::guarded([&]() -> Status {
    const auto& parameters = optimiser_.parameters();
    std::vector<std::pair<at::Tensor, ByteSpan>> copies;
    const auto add = [&](const std::string& name, const at::Tensor& to) -> Status {
      const auto it = file.tensors().find(name);
      if (it == file.tensors().end() || it->second.shape != to.sizes().vec() || it->second.dtype != type_name(to))
        return fail(ErrorCode::kManifestMismatch, fmt::format("checkpoint: {} is missing or of another shape", name));
      copies.emplace_back(to, it->second.data);
      return {};
    };
    std::vector<at::Tensor> best;
    for (size_t i = 0; i < parameters.size(); ++i) {
      const auto& name = parameters[i].name;
      SLM_CHECK(add("value." + name, parameters[i].value));
      SLM_CHECK(add("first." + name, optimiser_.first_moments()[i]));
      SLM_CHECK(add("second." + name, optimiser_.second_moments()[i]));
      if (number("best_step") > 0) {
        best.push_back(at::empty_like(parameters[i].value).detach());
        SLM_CHECK(add("best." + name, best.back()));
      }
    }
    SLM_CHECK(source_.seek(*position));
    for (const auto& [to, data] : copies) {
      at::Tensor own = at::empty(to.sizes(), to.options().device(at::kCPU).requires_grad(false));
      std::memcpy(own.data_ptr(), data.data(), data.size());
      to.detach().copy_(own);
    }
    best_ = std::move(best);
    optimiser_.set_n_steps(number("optimiser_steps"));
    step_ = number("step");
    n_tokens_ = number("n_tokens");
    last_loss_ = get_number(*state, "loss").value_or(0);
    first_loss_ = get_number(*state, "first_loss").value_or(0);
    mean_loss_ = get_number(*state, "mean_loss").value_or(0);
    best_step_ = number("best_step");
    best_loss_ = get_number(*state, "best_loss").value_or(0);
    best_accuracy_ = get_number(*state, "best_accuracy").value_or(0);
    since_best_ = static_cast<int>(number("since_best"));
    due_ = get_bool(*state, "validation_due").value_or(false);
    return {};
  });
}

Result<TrainResult> Trainer::run(const TrainHooks& hooks) {
  TrainResult result;
  const double begun = clock_.monotonic_s();
  const int64_t tokens_before = n_tokens_, steps_before = step_;
  auto* const processes = options_.processes;
  const bool validating = options_.validate_every > 0 && (!validation_.empty() || processes != nullptr);
  if (processes != nullptr) SLM_CHECK(processes->agree("step to go on from", std::to_string(step_)));
  const auto save = [&]() -> Status {
    if (!hooks.save) return {};
    return hooks.save(checkpoint());
  };
  const auto validate_now = [&]() -> Status {
    auto validation = validate();
    if (!validation && lost_) SLM_CHECK(save());  // validated when somebody goes on from here
    SLM_TRY(const auto report, std::move(validation));
    due_ = false;
    if (hooks.on_validation) hooks.on_validation(report);
    return {};
  };
  if (validating && due_) SLM_CHECK(validate_now());
  while (step_ < options_.schedule.n_steps) {
    if (validating && options_.patience > 0 && since_best_ >= options_.patience) {
      result.stopped_early = true;
      break;
    }
    // All of several processes stop after the same step.
    if (processes != nullptr ? stop_ : interrupted()) {
      SLM_CHECK(save());
      return fail(ErrorCode::kInterrupted,
                  fmt::format("training interrupted after step {} of {}{}", step_, options_.schedule.n_steps,
                              hooks.save ? "; a checkpoint was written" : ""),
                  hooks.save ? "repeat the command with --resume" : "");
    }
    const json::object before = source_.position();
    auto step = one_step();
    if (!step && lost_) {  // weights and moments are those of the last whole step
      SLM_CHECK(source_.seek(before));
      SLM_CHECK(save());
    }
    SLM_TRY(auto report, std::move(step));
    const double seconds = clock_.monotonic_s() - begun;
    if (seconds > 0) report.tokens_per_s = static_cast<double>(n_tokens_ - tokens_before) / seconds;
    report.seconds_left =
        seconds / static_cast<double>(step_ - steps_before) * static_cast<double>(options_.schedule.n_steps - step_);
    if (hooks.on_step) hooks.on_step(report);
    result.n_recomputed += report.n_recomputed;
    due_ = validating && (step_ % options_.validate_every == 0 || step_ == options_.schedule.n_steps);
    if (due_) SLM_CHECK(validate_now());
    if (options_.checkpoint_every > 0 && step_ % options_.checkpoint_every == 0 && step_ < options_.schedule.n_steps)
      SLM_CHECK(save());
  }
  if (validating) restore_best();
  result.n_steps = step_;
  result.n_tokens = n_tokens_;
  result.n_tokens_this_run = n_tokens_ - tokens_before;
  result.seconds = clock_.monotonic_s() - begun;
  result.loss = last_loss_;
  result.best_step = best_step_;
  result.best_loss = best_loss_;
  result.best_accuracy = best_accuracy_;
  return result;
}

}  // namespace slm::finetune
