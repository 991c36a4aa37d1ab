// Every bit of every live cell is covered: what is changed, removed or added is found by verify, and by readers.
// SLM_TEST_LONG=1 flips every byte of every cell; otherwise a few of each column.
#include <sqlite3.h>

#include <cstdlib>

#include <fmt/format.h>

#include "core/file.h"
#include "store/keyring.h"
#include "store/manage.h"
#include "store/verify.h"
#include "store_fixture.h"

namespace slm::store {
namespace {

namespace fs = std::filesystem;
using testing::StoreTest;
using testing::TestCall;

// A connection without the store's precautions: what an intruder, or a bad disk, has.
class Intruder {
 public:
  explicit Intruder(const fs::path& file) {
    EXPECT_EQ(sqlite3_open(file.c_str(), &db_), SQLITE_OK);
    sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    run("PRAGMA ignore_check_constraints=ON");
  }
  ~Intruder() { sqlite3_close(db_); }
  bool run(const std::string& sql) { return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK; }
  // Rows as lists of SQL literals.
  std::vector<std::vector<std::string>> rows(const std::string& sql) {
    std::vector<std::vector<std::string>> out;
    sqlite3_stmt* stmt = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(db_, sql.c_str(), -1, &stmt, nullptr), SQLITE_OK)
        << sql << ": " << sqlite3_errmsg(db_);
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

 private:
  sqlite3* db_ = nullptr;
};

class VerifyTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    init();
    std::vector<TestCall> calls;
    for (int i = 0; i < 12; ++i)
      calls.push_back({"s" + std::to_string(i % 2), "{\"i\":1}",
                       "body " + std::to_string(i) + std::string(i == 5 ? 300000 : 50, 'x')});
    ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, calls));
    auto curator = open(Role::kCurator).value();
    auto raw = read(*curator, Store::Space::kRaw, with_body());
    ASSERT_OK(raw);
    std::vector<TestCall> curated;
    for (StoredCall& call : *raw) curated.push_back({call.source, call.meta, call.body, call.group});
    ASSERT_OK(append(*curator, Store::Space::kCurated, curated));
    ASSERT_OK(open(Role::kTrainer).value()->seal_file(dir_ / "artifacts" / "a.bin", "a", as_bytes("text")));
  }
  fs::path file(const std::string& name) const { return dir_ / (name + ".db"); }
};

TEST_F(VerifyTest, AWholeStorePasses) {
  auto report = verify_store(dir_);
  ASSERT_OK(report);
  EXPECT_FALSE(report->admin_checked);
  EXPECT_EQ(report->n_batches, 5);  // init, raw, read, curated, artefact
  EXPECT_EQ(report->n_frames, 4 + 2 + 4 + 2) << "four groups of calls each way, two of them a frame longer";
  EXPECT_EQ(report->n_identities, 6);
  EXPECT_EQ(report->n_orphans, 0);
  EXPECT_EQ(report->head, Store::info(dir_)->head);
  const std::string admin = Store::info(dir_)->admin_fingerprint;
  EXPECT_TRUE(verify_store(dir_, {admin})->admin_checked);
  EXPECT_CODE(verify_store(dir_, {(admin[0] == '0' ? '1' : '0') + admin.substr(1)}), ErrorCode::kWrongKey);
}

TEST_F(VerifyTest, GroupsAreFoundByAnIndex) {
  const auto plan =
      Intruder(file("log")).rows("EXPLAIN QUERY PLAN SELECT seal FROM seals WHERE grp = x'00' AND partition = 4");
  ASSERT_EQ(plan.size(), 1u);
  EXPECT_NE(plan[0][3].find("INDEX seals_grp (grp=? AND partition=?)"), std::string::npos) << plan[0][3];
}

TEST_F(VerifyTest, EveryCellIsCovered) {
  const bool all = std::getenv("SLM_TEST_LONG") != nullptr;
  struct Table {
    const char *database, *name, *key;
  };
  const Table tables[] = {{"log", "admin", "seq"},
                          {"log", "entries", "n"},
                          {"log", "seals", "seal"},
                          {"log", "frames", "frame"},
                          {"keys", "encapsulations", "hex(grp) || partition"},
                          {"keys", "wraps", "what * 1000000 + version * 1000 + recipient"}};
  int n_flips = 0;
  Prng prng(7);
  for (const Table& table : tables) {
    Intruder intruder(file(table.database));
    auto columns = intruder.rows(fmt::format("SELECT name, type FROM pragma_table_info('{}')", table.name));
    auto rows = intruder.rows(fmt::format("SELECT hex({}) FROM {}", table.key, table.name));
    ASSERT_FALSE(rows.empty()) << table.name;
    for (const auto& column : columns) {
      // In short form one row of each column, another for each.
      std::vector<std::string> chosen;
      if (all)
        for (const auto& row : rows) chosen.push_back(row[0]);
      else
        chosen.push_back(rows[prng.below(rows.size())][0]);
      for (const std::string& row : chosen) {
        const std::string where = fmt::format("hex({}) = '{}'", table.key, row);
        const auto value = intruder.rows(
            fmt::format("SELECT quote({0}), hex({0}), length({0}) FROM {1} WHERE {2}", column[0], table.name, where));
        ASSERT_EQ(value.size(), 1u);
        std::vector<std::string> changed;
        if (column[1] == "INTEGER") {
          const int64_t v = std::stoll(value[0][0]);
          for (const int bit : {0, 7, 31, 40}) changed.push_back(std::to_string(v ^ (int64_t{1} << bit)));
        } else {
          std::string hex = value[0][1];
          if (hex.empty()) changed.push_back(column[1] == "TEXT" ? "'x'" : "x'00'");
          const size_t n = hex.size() / 2, step = all ? 1 : std::max<size_t>(1, n / 2);
          for (size_t i = all || n == 0 ? 0 : prng.below(step); i < n; i += step) {
            std::string flipped = hex;
            const unsigned byte =
                static_cast<unsigned>(std::stoul(hex.substr(2 * i, 2), nullptr, 16)) ^ (1u << prng.below(7));
            flipped.replace(2 * i, 2, fmt::format("{:02X}", byte));
            changed.push_back(column[1] == "TEXT" ? fmt::format("CAST(x'{}' AS TEXT)", flipped)
                                                  : fmt::format("x'{}'", flipped));
          }
          if (!hex.empty()) changed.push_back(column[1] == "TEXT" ? "''" : "x''");
        }
        for (const std::string& literal : changed) {
          const fs::path copy = base_ / "copy";
          fs::remove_all(copy);
          fs::copy(dir_, copy, fs::copy_options::recursive);
          // A key that another row has can't be written.
          if (!Intruder(copy / (std::string(table.database) + ".db"))
                   .run(fmt::format("UPDATE {} SET {} = {} WHERE {}", table.name, column[0], literal, where)))
            continue;
          auto verified = verify_store(copy);
          EXPECT_FALSE(verified) << table.name << "." << column[0] << " = " << literal.substr(0, 80);
          if (!verified) {
            EXPECT_EQ(verified.error().code, ErrorCode::kIntegrity)
                << table.name << "." << column[0] << ": " << verified.error().message;
          }
          ++n_flips;
        }
      }
    }
  }
  EXPECT_GT(n_flips, 100);
}

TEST_F(VerifyTest, WhatIsRemovedOrAddedIsFound) {
  const struct {
    const char *database, *change;
  } kChanges[] = {
      {"log", "DELETE FROM frames WHERE frame = (SELECT max(frame) FROM frames)"},
      {"log", "DELETE FROM seals WHERE seal = (SELECT min(seal) FROM seals)"},
      {"log", "DELETE FROM entries WHERE n = 2"},
      {"log", "DELETE FROM entries WHERE n = 1"},
      {"log", "DELETE FROM entries"},
      {"log", "DELETE FROM admin WHERE seq = (SELECT max(seq) FROM admin)"},
      {"log", "DELETE FROM admin WHERE seq = 3"},
      {"log", "INSERT INTO frames SELECT frame + 1000, calls, sealed FROM frames LIMIT 1"},
      {"log",
       "INSERT INTO seals SELECT seal + 1000, grp, partition, enc_hash, first_leaf, n_frames, refs FROM seals LIMIT 1"},
      {"log",
       "INSERT INTO entries SELECT n + 4, store, counter + 4, prev, kind, batch, writer, admin_seq, schema, hour, "
       "meta_epoch, body_epoch, "
       "n_calls, n_leaves, root, action, facts, details, signature, leaves FROM entries WHERE n = 2"},
      {"log", "CREATE TABLE extra(x)"},
      {"log", "CREATE TRIGGER t AFTER INSERT ON frames BEGIN DELETE FROM frames; END"},
      {"keys", "DELETE FROM encapsulations WHERE (grp, partition) = (SELECT grp, partition FROM encapsulations)"},
      {"keys", "DELETE FROM encapsulations WHERE partition = 2"},
  };
  for (const auto& change : kChanges) {
    const fs::path copy = base_ / "copy";
    fs::remove_all(copy);
    fs::copy(dir_, copy, fs::copy_options::recursive);
    ASSERT_TRUE(Intruder(copy / (std::string(change.database) + ".db")).run(change.change)) << change.change;
    SCOPED_TRACE(change.change);
    EXPECT_CODE(verify_store(copy), ErrorCode::kIntegrity);
  }
}

TEST_F(VerifyTest, ReadersNoticeToo) {
  const struct {
    const char *database, *change;
  } kChanges[] = {
      {"log", "UPDATE frames SET sealed = CAST(x'00' || substr(sealed, 2) AS BLOB)"},
      {"log", "UPDATE frames SET calls = CAST(x'01' || substr(calls, 2) AS BLOB)"},
      {"log", "DELETE FROM frames"},
      {"log", "DELETE FROM seals"},
      {"log", "DELETE FROM seals WHERE seal >> 16 = 2"},
      {"log", "DELETE FROM seals WHERE seal IN (2 << 16, 2 << 16 | 1)"},
      {"log", "DELETE FROM seals WHERE seal IN (2 << 16 | 2, 2 << 16 | 3)"},
      {"log",
       "DELETE FROM seals WHERE seal IN (2 << 16 | 2, 2 << 16 | 3); "
       "DELETE FROM frames WHERE frame >> 16 IN (2 << 16 | 2, 2 << 16 | 3)"},
      {"log",
       "DELETE FROM seals WHERE seal IN (2 << 16, 2 << 16 | 1); DELETE FROM frames WHERE frame >> 17 = 2 << 15; "
       "UPDATE frames SET frame = frame - (2 << 16) WHERE frame >> 17 = 2 << 15 | 1; "
       "UPDATE seals SET seal = seal - 2 WHERE seal IN (2 << 16 | 2, 2 << 16 | 3)"},
      {"log", "UPDATE entries SET n_calls = 1 WHERE kind = 1"},
      {"log", "UPDATE entries SET leaves = zeroblob(length(leaves)) WHERE kind = 1"},
      {"log", "DELETE FROM entries WHERE n = 3"},
      {"log", "UPDATE seals SET refs = x'00112233445566778899aabbccddeeff'"},
      {"keys", "UPDATE encapsulations SET enc = zeroblob(32)"},
      {"keys", "DELETE FROM encapsulations"},
      {"keys", "UPDATE wraps SET sealed = zeroblob(48)"},
  };
  const fs::path good = dir_;
  for (const auto& change : kChanges) {
    dir_ = base_ / "copy";
    fs::remove_all(dir_);
    fs::copy(good, dir_, fs::copy_options::recursive);
    ASSERT_TRUE(Intruder(file(change.database)).run(change.change)) << change.change;
    auto curator = open(Role::kCurator);
    const auto code = [&] {
      if (!curator) return curator.error().code;
      auto calls = read(**curator, Store::Space::kRaw, with_body());
      return calls ? ErrorCode::kOk : calls.error().code;
    };
    EXPECT_EQ(code(), ErrorCode::kIntegrity) << change.change;
  }
}

TEST_F(VerifyTest, FilesOfArtefactsAreChecked) {
  const fs::path path = dir_ / "artifacts" / "cluster" / "ab" / "map.bin";
  const fs::path ended = dir_ / "artifacts" / "finetune" / "cd" / "weights.sealed";
  fs::create_directories(path.parent_path());
  fs::create_directories(ended.parent_path());
  auto trainer = open(Role::kTrainer).value();
  ASSERT_OK(trainer->seal_file(path, "cluster/ab/map.bin", as_bytes(std::string(300000, 'x'))));
  const std::string first = read_file(path).value();
  ASSERT_OK(trainer->seal_file(ended, "finetune/cd/weights", as_bytes("weights")));
  ASSERT_OK(trainer->seal_file(base_ / "out", "../../out", as_bytes("not looked for")));
  const auto counts = [&] {
    const auto report = verify_store(dir_);
    EXPECT_TRUE(report.has_value()) << report.error().message;
    using Counts = std::pair<int64_t, int64_t>;
    return report ? Counts(report->n_artifact_files, report->n_missing_files) : Counts(-1, -1);
  };
  EXPECT_EQ(counts(), (std::pair<int64_t, int64_t>(2, 2))) << "the files of \"a\" and \"../../out\" lie elsewhere";

  for (size_t at = 0; at < first.size(); at += std::max<size_t>(1, first.size() / 40)) {
    std::string bad = first;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    ASSERT_TRUE(write_file_atomic(path, bad));
    SCOPED_TRACE(at);
    EXPECT_CODE(verify_store(dir_), ErrorCode::kIntegrity);
  }
  for (const std::string& bad :
       {first.substr(0, first.size() - 1), first + "x", std::string(), read_file(ended).value()}) {
    ASSERT_TRUE(write_file_atomic(path, bad));
    EXPECT_CODE(verify_store(dir_), ErrorCode::kIntegrity);
  }
  fs::remove(path);
  EXPECT_EQ(counts(), (std::pair<int64_t, int64_t>(1, 3)));
  // Made again: one of the two that were sealed under the name is there.
  ASSERT_OK(trainer->seal_file(path, "cluster/ab/map.bin", as_bytes("again")));
  EXPECT_EQ(counts(), (std::pair<int64_t, int64_t>(2, 3)));
  ASSERT_TRUE(write_file_atomic(path, first));
  EXPECT_EQ(counts(), (std::pair<int64_t, int64_t>(2, 3)));
}

// What is left of a batch is never taken for the whole: rows can go without any signature being wrong.
class ShortReadTest : public StoreTest {
 protected:
  static constexpr size_t kPart = 150000;  // one to a frame
  void SetUp() override {
    StoreTest::SetUp();
    init();
    std::vector<TestCall> calls;
    for (int i = 0; i < 9; ++i)
      calls.push_back({"s" + std::to_string(i % 3), random_text(kPart), random_text(i == 4 ? 5 * kPart : kPart)});
    ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw, calls));
  }
  std::string random_text(size_t size) {
    std::string out(size, ' ');
    for (char& c : out) c = static_cast<char>(prng_.next());
    return out;
  }
  ErrorCode read_all(bool body, size_t& n) {
    ScanOptions options = with_body();
    options.body = body;
    auto calls = read(*open(Role::kCurator).value(), Store::Space::kRaw, options);
    n = calls ? calls->size() : 0;
    return calls ? ErrorCode::kOk : calls.error().code;
  }
  Prng prng_{11};
};

TEST_F(ShortReadTest, FramesLeftOutOfAPairAreMissed) {
  size_t n = 0;
  ASSERT_EQ(read_all(true, n), ErrorCode::kOk);
  ASSERT_EQ(n, 9u);
  const char* const kPairs[] = {"0, 2 << 16 | 1", "2, 2 << 16 | 3", "4, 2 << 16 | 5"};
  const fs::path good = dir_;
  for (const std::string pair : kPairs)
    for (const std::string table : {"seals", "both"}) {
      dir_ = base_ / "copy";
      fs::remove_all(dir_);
      fs::copy(good, dir_, fs::copy_options::recursive);
      {
        Intruder intruder(dir_ / "log.db");
        const std::string where = "(2 << 16 | " + pair + ")";
        if (table == "both") {
          EXPECT_TRUE(
              intruder.run("DELETE FROM frames WHERE frame IN (SELECT (seal << 16) + n_frames - 1 FROM seals WHERE "
                           "seal IN " +
                           where + ")"));
        }
        EXPECT_TRUE(intruder.run("UPDATE seals SET n_frames = n_frames - 1 WHERE seal IN " + where));
      }
      for (const bool body : {false, true}) {
        EXPECT_EQ(read_all(body, n), ErrorCode::kIntegrity) << pair << " " << table << ": read " << n << " of 9 calls";
      }
    }
}

// A list of calls in the clear decides which frames a reader of chosen calls opens: it is checked before it is
// believed.
TEST_F(ShortReadTest, ChosenCallsCannotBeHidden) {
  std::vector<CallId> ids;
  auto all = read(*open(Role::kCurator).value(), Store::Space::kRaw, with_body());
  ASSERT_OK(all);
  std::map<CallId, std::string> bodies;
  for (const StoredCall& call : *all) {
    ids.push_back(call.id);
    bodies[call.id] = call.body;
  }
  std::sort(ids.begin(), ids.end());
  const fs::path good = dir_;
  Intruder reader(good / "log.db");
  const auto frames = reader.rows("SELECT frame FROM frames WHERE frame >> 32 = 2");
  ASSERT_GE(frames.size(), 18u);
  for (const auto& frame : frames) {
    dir_ = base_ / "copy";
    fs::remove_all(dir_);
    fs::copy(good, dir_, fs::copy_options::recursive);
    auto curator = open(Role::kCurator).value();
    ScanOptions chosen = with_body();
    chosen.only = &ids;
    auto before = read(*curator, Store::Space::kRaw, chosen);
    ASSERT_OK(before);
    ASSERT_EQ(before->size(), 9u);
    for (const StoredCall& call : *before) EXPECT_TRUE(call.body == bodies[call.id]);
    // Its places are known now. The frame says from here on that it holds another call.
    ASSERT_TRUE(
        Intruder(dir_ / "log.db")
            .run("UPDATE frames SET calls = CAST(x'2a000000' || substr(calls, 5) AS BLOB) WHERE frame = " + frame[0]));
    EXPECT_CODE(read(*curator, Store::Space::kRaw, chosen), ErrorCode::kIntegrity);
  }
}

TEST_F(VerifyTest, AnIdentityRefusesAnOlderAdminLog) {
  ASSERT_OK(open(Role::kTrainer));
  const fs::path old = base_ / "old";
  fs::copy(dir_, old, fs::copy_options::recursive);
  GrantOptions grant;
  grant.role = Role::kAuditor;
  grant.out = base_ / "second.key";
  grant.admin_keys = keys_;
  grant.random = random_.get();
  grant.clock = clock_.get();
  ASSERT_OK(grant_key(dir_, grant));
  ASSERT_OK(open(Role::kTrainer));
  fs::remove_all(dir_);
  fs::rename(old, dir_);
  ASSERT_OK(verify_store(dir_));  // a rollback can't be seen from inside
  EXPECT_CODE(open(Role::kTrainer), ErrorCode::kIntegrity);
  // Nor does the admin sign on top of it, which would undo for good what it signed before.
  grant.out = base_ / "third.key";
  EXPECT_CODE(grant_key(dir_, grant), ErrorCode::kIntegrity);
  EXPECT_FALSE(fs::exists(grant.out));
}

// A sealed file cut off at a frame's end, and the rows of log.db made to agree with it.
TEST_F(VerifyTest, ASealedFileCutShortIsRefused) {
  const fs::path path = dir_ / "artifacts" / "long.bin";
  std::string text(600000, ' ');
  Prng prng(3);
  for (char& c : text) c = static_cast<char>(prng.next());
  ASSERT_OK(open(Role::kTrainer).value()->seal_file(path, "long", as_bytes(text)));
  const auto opened = open(Role::kTrainer).value()->open_sealed_file(path, "long");
  ASSERT_OK(opened);
  EXPECT_TRUE(as_text(*opened) == text);

  std::string file_text = read_file(path).value();
  const size_t head = std::string("slmconv sealed file 1\n").size() + 16;
  const auto u32 = [&](size_t at) { return get_u32(reinterpret_cast<const uint8_t*>(file_text.data()) + at); };
  ASSERT_EQ(u32(head), 3u) << "frames";
  size_t at = head + 4;
  for (int field = 0; field < 4; ++field) at += 4 + u32(at);
  file_text.resize(at);
  file_text[head] = 2;
  ASSERT_TRUE(write_file_atomic(path, file_text));
  EXPECT_CODE(open(Role::kTrainer).value()->open_sealed_file(path, "long"), ErrorCode::kIntegrity);
  const std::string seal = Intruder(file("log")).rows("SELECT max(seal) FROM seals")[0][0];
  ASSERT_TRUE(Intruder(file("log")).run("UPDATE seals SET n_frames = 2 WHERE seal = " + seal));
  EXPECT_CODE(open(Role::kTrainer).value()->open_sealed_file(path, "long"), ErrorCode::kIntegrity);
}

// A long check reads in windows: between two of them the WAL can be emptied, and whatever is done meanwhile is either
// after what is checked, or learnt.
TEST_F(VerifyTest, ReadsInWindowsWhileTheStoreIsWorkedOn) {
  for (int i = 0; i < 6; ++i)
    ASSERT_OK(append(*open(Role::kCollector).value(), Store::Space::kRaw,
                     {{"gone", "{}", "gone " + std::to_string(i)}, {"s0", "{}", "stays " + std::to_string(i)}}));
  const int64_t n_before = Store::info(dir_)->n_batches;
  int n_windows = 0;
  const KeyOptions keys{keys_, {}, random_.get(), clock_.get()};
  const auto report = verify_in_windows(
      dir_, {}, {.window_ms = 0, .between = [&] {
                   const Databases db = open_databases(dir_, 1000).value();
                   {
                     Databases& files = const_cast<Databases&>(db);
                     const FileLock lock = FileLock::acquire(lock_path(dir_), 1000).value();
                     for (Database* each : {&files.log, &files.keys}) {
                       EXPECT_TRUE(each->checkpoint(true));
                       EXPECT_TRUE(each->wal_is_empty()) << "a window is open still";
                     }
                   }
                   switch (n_windows++) {
                     case 8:     // after the checks of pages: what is erased wasn't reached yet
                     case 13: {  // and here it was
                       EraseOptions erase;
                       erase.source = n_windows == 9 ? "gone" : "s1";
                       erase.keys = keys_;
                       erase.random = random_.get();
                       erase.clock = clock_.get();
                       EXPECT_TRUE(erase_source(dir_, erase));
                       break;
                     }
                     case 9:
                       EXPECT_TRUE(append(*open(Role::kCollector).value(), Store::Space::kRaw, {{"t", "{}", "later"}}));
                       EXPECT_TRUE(rotate_keys(dir_, {"all"}, keys));
                       break;
                     case 10:
                       EXPECT_TRUE(compact_store(dir_));
                       break;
                     default:
                       break;
                   }
                 }});
  ASSERT_OK(report);
  EXPECT_GE(n_windows, n_before);
  EXPECT_EQ(report->n_batches, n_before);
  EXPECT_EQ(report->n_orphans, 0);
  EXPECT_GT(report->n_erased, 2);
  EXPECT_EQ(report->n_left_over, 0);
  ASSERT_OK(verify_store(dir_));
}

TEST_F(VerifyTest, WhatIsChangedBetweenTwoWindowsIsFound) {
  const fs::path good = base_ / "good";
  fs::copy(dir_, good, fs::copy_options::recursive);
  const std::pair<const char*, const char*> kChanges[] = {
      {"log.db", "DELETE FROM frames WHERE frame = (SELECT max(frame) FROM frames)"},
      {"log.db", "UPDATE frames SET sealed = zeroblob(length(sealed)) WHERE frame = (SELECT max(frame) FROM frames)"},
      {"log.db", "UPDATE seals SET enc_hash = zeroblob(32) WHERE seal = (SELECT max(seal) FROM seals)"},
      {"log.db", "DELETE FROM entries WHERE n = (SELECT max(n) FROM entries)"},
      {"keys.db", "DELETE FROM encapsulations"},
  };
  for (const auto& [file, change] : kChanges) {
    fs::remove_all(dir_);
    fs::copy(good, dir_, fs::copy_options::recursive);
    int n_windows = 0;
    const char *const name = file, *const sql = change;
    const auto between = [&] {
      if (++n_windows == 8) {
        EXPECT_TRUE(Intruder(dir_ / name).run(sql)) << sql;
      }
    };
    EXPECT_CODE(verify_in_windows(dir_, {}, {.window_ms = 0, .between = between}), ErrorCode::kIntegrity);
    EXPECT_GE(n_windows, 8) << change;
  }
}

}  // namespace
}  // namespace slm::store
