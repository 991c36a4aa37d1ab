#include "store/types.h"

namespace slm::store {
namespace {

constexpr uint8_t bit(Role role) { return static_cast<uint8_t>(1u << static_cast<unsigned>(role)); }
constexpr uint8_t kCurator = bit(Role::kCurator), kTrainer = bit(Role::kTrainer), kAuditor = bit(Role::kAuditor);

struct PartitionRow {
  const char* name;
  uint8_t readers;
};
constexpr PartitionRow kPartitionTable[] = {
    {"raw-meta", kCurator | kAuditor}, {"raw-body", kCurator}, {"curated-meta", kCurator | kTrainer | kAuditor},
    {"curated-body", kTrainer},        {"audit", kAuditor},
};
constexpr const char* kRoleNames[] = {"collector", "curator", "trainer", "auditor", "admin"};

const PartitionRow& row(Partition partition) { return kPartitionTable[static_cast<size_t>(partition) - 1]; }

}  // namespace

std::string_view role_name(Role role) { return kRoleNames[static_cast<size_t>(role)]; }

std::optional<Role> parse_role(std::string_view name) {
  for (const Role role : kRoles)
    if (role_name(role) == name) return role;
  return std::nullopt;
}

std::string_view partition_name(Partition partition) { return row(partition).name; }
bool may_read(Role role, Partition partition) { return (row(partition).readers & bit(role)) != 0; }

}  // namespace slm::store
