#include "store/seen.h"

#include <fmt/format.h>

#include <charconv>

#include "core/file.h"
#include "core/log.h"

namespace slm::store {
namespace {

constexpr std::string_view kFirstLine = "slmconv-seen 1\n";

std::string seen_text(const AdminLog& admin) {
  return fmt::format("{}fleet {}\nadmin_entry {}\nhash {}\n", kFirstLine, to_hex(admin.fleet()), admin.n_entries(),
                     to_hex(admin.hash_of(admin.n_entries())));
}

}  // namespace

Status check_seen(const std::filesystem::path& key_file, const AdminLog& admin) {
  const std::filesystem::path path = key_file.string() + ".seen";
  const std::string now = seen_text(admin);
  std::error_code ec;
  if (std::filesystem::exists(path, ec)) {
    SLM_TRY(const std::string before, read_file(path, 4096));
    if (before == now) return {};
    const std::string head = fmt::format("{}fleet {}\nadmin_entry ", kFirstLine, to_hex(admin.fleet()));
    uint32_t seq = 0;
    const char* const end = before.data() + before.size();
    const char* at = end;
    if (before.starts_with(head)) {
      const auto [stop, err] = std::from_chars(before.data() + head.size(), end, seq);
      if (err == std::errc{}) at = stop;
    }
    if (seq == 0 || at == end)
      return fail(ErrorCode::kIntegrity, fmt::format("{} can't be read", path.string()), "remove it if you know why");
    if (seq > admin.n_entries())
      return fail(
          ErrorCode::kIntegrity,
          fmt::format(
              "the store's admin log ends at entry {}, this identity has seen entry {}: an old copy was put back",
              admin.n_entries(), seq),
          fmt::format("restore the newer store, or remove {} if the old one is meant", path.string()));
    if (std::string_view(at, static_cast<size_t>(end - at)) != fmt::format("\nhash {}\n", to_hex(admin.hash_of(seq))))
      return fail(ErrorCode::kIntegrity,
                  fmt::format("admin entry {} isn't the one this identity has seen: the log was rewritten", seq));
    if (seq == admin.n_entries()) return {};
  }
  if (auto written = write_file_atomic(path, now, 0600); !written)
    log_warn(fmt::format("can't remember the admin entry seen: {}", written.error().message));
  return {};
}

}  // namespace slm::store
