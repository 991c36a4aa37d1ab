// Every bit of every live cell of both databases flipped, one at a time: store verify finds each, without a private
// key. Here every so many bits of each column; SLM_TEST_BIT_STEP=N every N-th; SLM_TEST_LONG=1 flips them all.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstdlib>

#include <fmt/format.h>

#include "store/keyring.h"
#include "store/manage.h"
#include "store_fixture.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;
using testing::StoreTest;

class BitsTest : public StoreTest {
 protected:
  // A store with a bit of everything: two epochs, a revoked key, an erased group, a merged chain, an artefact.
  void SetUp() override {
    StoreTest::SetUp();
    init();
    const KeyOptions with{keys_, {}, random_.get(), clock_.get()};
    ASSERT_OK(
        append(*open(Role::kCollector).value(), Store::Space::kRaw, {{"s", "{}", "a body"}, {"t", "{}", "gone"}}));
    GrantOptions grant;
    grant.role = Role::kCollector;
    grant.out = base_ / "second.key";
    grant.admin_keys = keys_;
    grant.random = random_.get();
    grant.clock = clock_.get();
    ASSERT_OK(grant_key(dir_, grant));
    ASSERT_OK(make_bundle(dir_, {base_ / "b", true, keys_, random_.get(), clock_.get()}));
    ASSERT_OK(join_store(base_ / "away", {base_ / "b", ""}));
    const fs::path home = dir_;
    dir_ = base_ / "away";
    ASSERT_OK(append(*open_as(Role::kCollector, base_ / "second.key").value(), Store::Space::kRaw,
                     {{"s", "{}", "merged body"}}));
    dir_ = home;
    ASSERT_OK(merge_store(dir_, base_ / "away", with));
    ASSERT_OK(revoke_key(dir_, load_identity(base_ / "second.key")->pub.fingerprint(), with));
    ASSERT_OK(rotate_keys(dir_, {"raw-body"}, with));
    ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, {{"s", "{}", "second body"}}));
    EraseOptions erase;
    erase.source = "t";
    erase.keys = keys_;
    erase.random = random_.get();
    erase.clock = clock_.get();
    ASSERT_OK(erase_source(dir_, erase));
    auto curator = open(Role::kCurator).value();
    const auto raw = read(*curator, Store::Space::kRaw, with_body()).value();
    std::vector<testing::TestCall> curated;
    for (const StoredCall& call : raw) curated.push_back({call.source, call.meta, "clean " + call.body, call.group});
    ASSERT_OK(append(*curator, Store::Space::kCurated, curated));
    ASSERT_OK(open(Role::kTrainer).value()->seal_file(dir_ / "artifacts" / "a", "a", as_bytes("text")));
    ASSERT_OK(verify_store(dir_));
  }
};

// A connection without the store's precautions.
class Intruder {
 public:
  explicit Intruder(const fs::path& file) {
    EXPECT_EQ(sqlite3_open(file.c_str(), &db_), SQLITE_OK);
    sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    run("PRAGMA ignore_check_constraints=ON; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0");
  }
  ~Intruder() { sqlite3_close(db_); }
  bool run(const std::string& sql) { return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK; }
  std::vector<std::vector<std::string>> rows(const std::string& sql) {
    std::vector<std::vector<std::string>> out;
    sqlite3_stmt* stmt = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(db_, sql.c_str(), -1, &stmt, nullptr), SQLITE_OK) << sql;
    while (sqlite3_step(stmt) == SQLITE_ROW) {
      auto& row = out.emplace_back();
      for (int i = 0; i < sqlite3_column_count(stmt); ++i) {
        const auto* text = sqlite3_column_text(stmt, i);
        row.emplace_back(text == nullptr ? "" : reinterpret_cast<const char*>(text));
      }
    }
    sqlite3_finalize(stmt);
    return out;
  }
  void checkpoint() { sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr); }

 private:
  sqlite3* db_ = nullptr;
};

TEST_F(BitsTest, EveryBitOfEveryLiveCellIsCovered) {
  const bool all = std::getenv("SLM_TEST_LONG") != nullptr;
  const char* const every = std::getenv("SLM_TEST_BIT_STEP");
  struct Table {
    const char *database, *name;
  };
  const Table tables[] = {{"log", "admin"},  {"log", "entries"},         {"log", "seals"},
                          {"log", "frames"}, {"keys", "encapsulations"}, {"keys", "wraps"}};
  int64_t n_bits = 0, n_flips = 0, n_not_written = 0;
  Prng prng(11);
  for (const Table& table : tables) {
    Intruder intruder(dir_ / (std::string(table.database) + ".db"));
    const auto columns = intruder.rows(fmt::format("SELECT name, type, pk FROM pragma_table_info('{}')", table.name));
    std::string quoted;
    for (const auto& column : columns)
      if (column[2] != "0") quoted += fmt::format("{}quote({})", quoted.empty() ? "" : ", ", column[0]);
    const auto rows = intruder.rows(fmt::format("SELECT {} FROM {}", quoted, table.name));
    ASSERT_FALSE(rows.empty());
    for (const auto& row : rows) {
      const auto condition = [&](std::string_view changed, const std::string& value) {
        std::string out;
        size_t at = 0;
        for (const auto& column : columns)
          if (column[2] != "0") {
            out +=
                fmt::format("{}{} = {}", out.empty() ? "" : " AND ", column[0], column[0] == changed ? value : row[at]);
            ++at;
          }
        return out;
      };
      const std::string here = condition("", "");
      for (const auto& column : columns) {
        const bool number = column[1] == "INTEGER";
        const auto cell =
            intruder.rows(fmt::format("SELECT quote({0}), hex({0}) FROM {1} WHERE {2}", column[0], table.name, here));
        ASSERT_EQ(cell.size(), 1u) << table.name << " " << here;
        const std::string hex = cell[0][1];
        const int64_t value = number ? std::stoll(cell[0][0]) : 0;
        const std::string good = number                ? cell[0][0]
                                 : column[1] == "TEXT" ? fmt::format("CAST(x'{}' AS TEXT)", hex)
                                                       : fmt::format("x'{}'", hex);
        const size_t n = number ? 64 : hex.size() * 4;
        n_bits += static_cast<int64_t>(n);
        const size_t step = all ? 1 : every != nullptr ? std::max<size_t>(1, std::strtoul(every, nullptr, 10)) : 997;
        for (size_t bit = all ? 0 : prng.below(step); bit < n; bit += step) {
          std::string bad;
          if (number) {
            bad = std::to_string(static_cast<int64_t>(static_cast<uint64_t>(value) ^ (uint64_t{1} << bit)));
            if (bad == "-9223372036854775808") bad = "(-9223372036854775807 - 1)";
          } else {
            std::string flipped = hex;
            const unsigned byte =
                static_cast<unsigned>(std::stoul(hex.substr(bit / 8 * 2, 2), nullptr, 16)) ^ (1u << (bit % 8));
            flipped.replace(bit / 8 * 2, 2, fmt::format("{:02X}", byte));
            bad = column[1] == "TEXT" ? fmt::format("CAST(x'{}' AS TEXT)", flipped) : fmt::format("x'{}'", flipped);
          }
          // A key that another row has can't be written.
          if (!intruder.run(fmt::format("UPDATE {} SET {} = {} WHERE {}", table.name, column[0], bad, here))) {
            ++n_not_written;
            continue;
          }
          const auto verified = verify_store(dir_);
          EXPECT_FALSE(verified) << table.name << "." << column[0] << " bit " << bit << " of row " << here;
          if (!verified) {
            EXPECT_EQ(verified.error().code, ErrorCode::kIntegrity)
                << table.name << "." << column[0] << ": " << verified.error().message;
          }
          ASSERT_TRUE(intruder.run(
              fmt::format("UPDATE {} SET {} = {} WHERE {}", table.name, column[0], good, condition(column[0], bad))));
          if (++n_flips % 500 == 0) intruder.checkpoint();
        }
      }
    }
  }
  ASSERT_OK(verify_store(dir_));
  EXPECT_GT(n_flips, all ? 100000 : 60);
  RecordProperty("bits", fmt::format("{}", n_bits));
  if (all || every != nullptr)
    fmt::print("{} bits, {} flips, {} that no table takes\n", n_bits, n_flips, n_not_written);
}

}  // namespace
}  // namespace slm::store
