// How well a clustering agrees with labels that somebody else gave.
//
// Shapes: two label vectors of equal length N.
// Units: adjusted Rand index in [-1, 1], the rest in [0, 1].
// Source: Hubert, Arabie 1985 (adjusted Rand index); normalised mutual information with the arithmetic mean, as
//   scikit-learn's default.
#pragma once

#include <cstdint>
#include <vector>

namespace slm::cluster {

double adjusted_rand_index(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b);
double normalised_mutual_information(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b);

// Of what share of the calls is the label the most frequent one of their task (`by_task`), beside the share of the most
// frequent label over all (`majority`)? by_task is raised by many small tasks; `folds` says it on calls that the
// majority wasn't counted on: groups (sessions) dealt into five parts, each predicted from the other four.
struct MajorityAgreement {
  double by_task = 0, by_task_held_out = 0, majority = 0;
};
MajorityAgreement majority_agreement(const std::vector<uint32_t>& tasks, const std::vector<uint32_t>& labels,
                                     const std::vector<uint32_t>& groups);

}  // namespace slm::cluster
