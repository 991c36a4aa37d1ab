// Names of the store's parts: roles, partitions. Source: the store design (README, "The store").
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace slm::store {

enum class Role { kCollector, kCurator, kTrainer, kAuditor, kAdmin };
inline constexpr std::array<Role, 5> kRoles = {Role::kCollector, Role::kCurator, Role::kTrainer, Role::kAuditor,
                                               Role::kAdmin};
std::string_view role_name(Role role);
std::optional<Role> parse_role(std::string_view name);

// Each has its own key epochs. "Sealed to a role" means to the epoch of that role's partition.
enum class Partition : uint8_t { kRawMeta = 1, kRawBody = 2, kCuratedMeta = 3, kCuratedBody = 4, kAudit = 5 };
inline constexpr std::array<Partition, 5> kPartitions = {
    Partition::kRawMeta, Partition::kRawBody, Partition::kCuratedMeta, Partition::kCuratedBody, Partition::kAudit};
std::string_view partition_name(Partition partition);

// Who may open a partition; who may write what, a grant says (entry_kinds_of).
bool may_read(Role role, Partition partition);

}  // namespace slm::store
