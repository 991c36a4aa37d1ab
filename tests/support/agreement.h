// How well a clustering agrees with labels that somebody else gave.
//
// Shapes: two label vectors of equal length N.
// Units: adjusted Rand index in [-1, 1], the rest in [0, 1].
// Source: Hubert, Arabie 1985 (adjusted Rand index); normalised mutual information with the arithmetic mean, as
//   scikit-learn's default.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace slm::test {

namespace agreement {

struct Contingency {
  std::map<std::pair<uint32_t, uint32_t>, double> cells;
  std::map<uint32_t, double> rows, columns;
  double n = 0;
};

inline Contingency count(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b) {
  Contingency out;
  for (size_t i = 0; i < a.size(); ++i) {
    out.cells[{a[i], b[i]}] += 1;
    out.rows[a[i]] += 1;
    out.columns[b[i]] += 1;
    out.n += 1;
  }
  return out;
}

inline double pairs(double n) { return n * (n - 1) / 2; }

// The most frequent label; the lowest on ties.
template <class Counts>
uint32_t most(const Counts& counts) {
  uint32_t best = 0;
  double n = -1;
  for (const auto& [label, c] : counts)
    if (c > n) best = label, n = c;
  return best;
}

}  // namespace agreement

inline double adjusted_rand_index(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b) {
  const auto table = agreement::count(a, b);
  double together = 0, in_a = 0, in_b = 0;
  for (const auto& [cell, n] : table.cells) together += agreement::pairs(n);
  for (const auto& [label, n] : table.rows) in_a += agreement::pairs(n);
  for (const auto& [label, n] : table.columns) in_b += agreement::pairs(n);
  const double all = agreement::pairs(table.n);
  if (all <= 0) return 1;
  const double expected = in_a * in_b / all, highest = (in_a + in_b) / 2;
  return highest == expected ? 1 : (together - expected) / (highest - expected);
}

inline double normalised_mutual_information(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b) {
  const auto table = agreement::count(a, b);
  double information = 0, entropy_a = 0, entropy_b = 0;
  for (const auto& [cell, n] : table.cells)
    information += n / table.n * std::log(n * table.n / (table.rows.at(cell.first) * table.columns.at(cell.second)));
  for (const auto& [label, n] : table.rows) entropy_a -= n / table.n * std::log(n / table.n);
  for (const auto& [label, n] : table.columns) entropy_b -= n / table.n * std::log(n / table.n);
  if (entropy_a + entropy_b <= 0) return 1;
  return std::max(0.0, 2 * information / (entropy_a + entropy_b));
}

// Of what share of the calls is the label the most frequent one of their task (`by_task`), beside the share of the most
// frequent label over all (`majority`)? by_task is raised by many small tasks; `by_task_held_out` says it on calls that
// the majority wasn't counted on: groups (sessions) dealt into five parts, each predicted from the other four.
struct MajorityAgreement {
  double by_task = 0, by_task_held_out = 0, majority = 0;
};
inline MajorityAgreement majority_agreement(const std::vector<uint32_t>& tasks, const std::vector<uint32_t>& labels,
                                            const std::vector<uint32_t>& groups) {
  constexpr uint32_t kFolds = 5;
  MajorityAgreement out;
  if (tasks.empty()) return out;
  std::map<uint32_t, double> all;
  std::map<uint32_t, std::map<uint32_t, double>> by_task;
  std::map<std::pair<uint32_t, uint32_t>, std::map<uint32_t, double>> of_fold;  // (fold, task)
  std::vector<std::map<uint32_t, double>> all_of_fold(kFolds);
  for (size_t i = 0; i < tasks.size(); ++i) {
    all[labels[i]] += 1;
    by_task[tasks[i]][labels[i]] += 1;
    of_fold[{groups[i] % kFolds, tasks[i]}][labels[i]] += 1;
    all_of_fold[groups[i] % kFolds][labels[i]] += 1;
  }
  const auto without = [](std::map<uint32_t, double> counts, const std::map<uint32_t, double>& part) {
    for (const auto& [label, n] : part)
      if ((counts[label] -= n) <= 0) counts.erase(label);
    return counts;
  };
  for (const auto& [task, counts] : by_task) out.by_task += counts.at(agreement::most(counts));
  out.majority = all.at(agreement::most(all));
  for (const auto& [key, part] : of_fold) {
    auto others = without(by_task[key.second], part);
    if (others.empty()) others = without(all, all_of_fold[key.first]);
    if (others.empty()) continue;
    const auto hit = part.find(agreement::most(others));
    if (hit != part.end()) out.by_task_held_out += hit->second;
  }
  const auto n = static_cast<double>(tasks.size());
  out.by_task /= n;
  out.by_task_held_out /= n;
  out.majority /= n;
  return out;
}

}  // namespace slm::test
