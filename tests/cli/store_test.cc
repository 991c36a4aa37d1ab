// init, keys, store: what they print, their exit codes, and what must not exist.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "core/file.h"
#include "support/cli_run.h"

namespace slm::cli {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class StoreCommands : public testing::Test {
 protected:
  void SetUp() override {
    base_ = fs::temp_directory_path() / ("slm_store_commands_" + std::to_string(getpid()));
    fs::remove_all(base_);
    fs::create_directories(base_);
    unsetenv("SLMCONV_STORE");
    unsetenv("SLMCONV_IDENTITY");
    unsetenv("SLMCONV_DEMO");
    setenv("XDG_CONFIG_HOME", (base_ / "config").c_str(), 1);
    store_ = (base_ / "store").string();
    keys_ = (base_ / "keys").string();
  }
  void TearDown() override {
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("SLMCONV_PASSPHRASE_FILE");
    fs::remove_all(base_);
  }
  fs::path base_;
  std::string store_, keys_;
};

TEST_F(StoreCommands, InitMakesStoreAndKeysAndSaysWhatToDoNext) {
  const auto ran = run_cli({"init", store_, "--keys", keys_});
  EXPECT_EQ(ran.rc, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("admin fingerprint "));
  EXPECT_THAT(ran.out, HasSubstr("collect PATH"));
  for (const char* role : {"admin", "collector", "curator", "trainer", "auditor", "recovery"})
    EXPECT_TRUE(fs::exists(fs::path(keys_) / (std::string(role) + ".key"))) << role;
  for (const auto& item : fs::recursive_directory_iterator(store_))
    EXPECT_NE(item.path().extension(), ".key") << item.path();
  const auto again = run_cli({"init", store_, "--keys", keys_});
  EXPECT_EQ(again.rc, 2);
  EXPECT_THAT(again.err, HasSubstr("never overwritten"));
}

TEST_F(StoreCommands, DefaultKeysFolderIsTheUsersConfiguration) {
  ASSERT_EQ(run_cli({"init", store_}).rc, 0);
  const auto info = run_cli({"--json", "--store", store_, "store", "info"}).last();
  const fs::path keys =
      base_ / "config" / "slmconv" / "keys" / std::string(info.at("store_id").as_string()).substr(0, 16);
  EXPECT_TRUE(fs::exists(keys / "trainer.key"));
  const auto inside = run_cli({"init", store_ + "2", "--keys", store_ + "2/keys"});
  EXPECT_EQ(inside.rc, 2);
  EXPECT_THAT(inside.err, HasSubstr("lies in the store"));
  EXPECT_FALSE(fs::exists(store_ + "2"));
}

TEST_F(StoreCommands, InfoNeedsNoKeyAndPrintsCounts) {
  ASSERT_EQ(run_cli({"init", store_, "--keys", keys_}).rc, 0);
  fs::remove_all(keys_);
  const auto text = run_cli({"--store", store_, "store", "info"});
  EXPECT_EQ(text.rc, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("n_raw       0\n"));
  const auto last = run_cli({"--json", "--store", store_, "store", "info"}).last();
  EXPECT_EQ(last.at("message_type").as_string(), "summary");
  EXPECT_EQ(last.at("n_raw").as_int64(), 0);
  EXPECT_EQ(last.at("demo").as_bool(), false);
  EXPECT_EQ(run_cli({"--store", store_ + "-none", "store", "info"}).rc, 10);
  EXPECT_EQ(run_cli({"store", "info"}).rc, 2);
}

TEST_F(StoreCommands, WaitingForTheLockIsSaidAfterASecond) {
  ASSERT_EQ(run_cli({"init", store_, "--keys", keys_}).rc, 0);
  const int fd = open((fs::path(store_) / "store.lock").c_str(), O_RDWR);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(flock(fd, LOCK_EX), 0);
  setenv("SLMCONV_LOCK_WAIT_MS", "1200", 1);
  const auto text = run_cli({"--store", store_, "store", "info"});
  EXPECT_EQ(text.rc, 11);
  EXPECT_THAT(text.err, HasSubstr("waiting for another slmconv, which holds " + store_ + "/store.lock; up to 2 s\n"));
  const auto lines = run_cli({"--json", "--store", store_, "store", "info"}).lines();
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(get_string(lines[0].as_object(), "message_type"), "status");
  EXPECT_THAT(get_string(lines[0].as_object(), "note"), HasSubstr("another slmconv"));
  setenv("SLMCONV_LOCK_WAIT_MS", "100", 1);
  EXPECT_EQ(run_cli({"--json", "--store", store_, "store", "info"}).lines().size(), 2U) << "a short wait says nothing";
  unsetenv("SLMCONV_LOCK_WAIT_MS");
  close(fd);
}

TEST_F(StoreCommands, WarningsOfTheStoreAreJsonToo) {
  ASSERT_EQ(run_cli({"init", store_, "--keys", keys_, "--demo-seed", "7"}).rc, 0);
  testing::internal::CaptureStderr();
  const auto ran = run_cli({"--json", "--store", store_, "--identity", keys_, "cluster"});
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(ran.err, "");
  ASSERT_FALSE(ran.lines().empty());
  const json::object first = ran.lines().front().as_object();
  EXPECT_EQ(get_string(first, "message_type"), "warning");
  EXPECT_THAT(get_string(first, "message"), HasSubstr("protect nothing"));
}

TEST_F(StoreCommands, VerifySaysWhatIsAndIsntShown) {
  const auto made = run_cli({"--json", "init", store_, "--keys", keys_}).last();
  const std::string admin(made.at("admin").as_string());
  const auto ran = run_cli({"--store", store_, "store", "verify"});
  EXPECT_EQ(ran.rc, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("freshness not shown"));
  EXPECT_THAT(ran.out, HasSubstr("admin not checked"));
  EXPECT_THAT(run_cli({"--store", store_, "store", "verify", "--admin", admin}).out, HasSubstr("admin checked\n"));
  EXPECT_EQ(run_cli({"--store", store_, "store", "verify", "--admin", "00"}).rc, 12);
  // A page of zeros.
  const std::string log = read_file(fs::path(store_) / "log.db").value();
  ASSERT_TRUE(
      write_file_atomic(fs::path(store_) / "log.db", log.substr(0, 4096) + std::string(log.size() - 4096, '\0'), 0600));
  const auto bad = run_cli({"--store", store_, "store", "verify"});
  EXPECT_EQ(bad.rc, 14);
  EXPECT_THAT(bad.err, HasSubstr("log.db"));
}

TEST_F(StoreCommands, KeysAskedForElsewhere) {
  ASSERT_EQ(run_cli({"init", store_, "--keys", keys_}).rc, 0);
  const std::string key = (base_ / "there.key").string(), request = (base_ / "request.json").string();
  const std::vector<std::string> ask = {"--json",  "--store", store_, "keys", "request",
                                        "trainer", "--out",   key,    "--to", request};
  const auto with = [](std::vector<std::string> args, const std::vector<std::string>& more) {
    args.insert(args.end(), more.begin(), more.end());
    return args;
  };
  // A passphrase is the default; here nobody can type one.
  const std::string secret = (base_ / "passphrase").string();
  setenv("SLMCONV_PASSPHRASE_FILE", secret.c_str(), 1);
  EXPECT_NE(run_cli(ask).rc, 0);
  EXPECT_FALSE(fs::exists(key));
  ASSERT_TRUE(write_file_atomic(secret, "of some length\n", 0600));
  const auto asked = run_cli(ask);
  ASSERT_EQ(asked.rc, 0) << asked.out;
  EXPECT_THAT(read_file(key).value(), HasSubstr("protection scrypt"));
  const std::string print(asked.last().at("fingerprint").as_string());
  const std::vector<std::string> grant = {"--json", "--store", store_,    "--identity", keys_,
                                          "keys",   "grant",   "trainer", "--request",  request};
  EXPECT_EQ(run_cli(with(grant, {"--fingerprint", "00000000"})).rc, 12);
  EXPECT_EQ(run_cli(with(grant, {"--out", key + "2"})).rc, 2);
  EXPECT_EQ(run_cli(with(grant, {"--passphrase"})).rc, 2);
  const auto granted = run_cli(with(grant, {"--fingerprint", print}));
  ASSERT_EQ(granted.rc, 0) << granted.out;
  EXPECT_EQ(std::string(granted.last().at("fingerprint").as_string()), print);
  EXPECT_EQ(run_cli(with(grant, {})).rc, 2) << "once";
  unsetenv("SLMCONV_PASSPHRASE_FILE");
  const std::string plain = (base_ / "plain.key").string();
  ASSERT_EQ(run_cli({"--store", store_, "keys", "request", "auditor", "--out", plain, "--to", request + "2",
                     "--no-passphrase"})
                .rc,
            0);
  EXPECT_THAT(read_file(plain).value(), HasSubstr("protection none"));
  EXPECT_EQ(run_cli({"keys", "request", "auditor", "--out", plain + "2", "--to", request + "3"}).rc, 2);
  EXPECT_EQ(run_cli({"--store", store_, "keys", "request", "admin", "--out", plain + "2", "--to", request + "3"}).rc,
            2);

  const std::string recovery = (base_ / "recovery.key").string();
  const auto another =
      run_cli({"--json", "--store", store_, "--identity", keys_, "keys", "grant", "recovery", "--out", recovery});
  ASSERT_EQ(another.rc, 0) << another.out;
  EXPECT_EQ(another.last().at("pending").as_bool(), false);
  EXPECT_EQ(run_cli({"--store", store_, "store", "verify"}).rc, 0);
}

TEST_F(StoreCommands, KeysListAndGrant) {
  ASSERT_EQ(run_cli({"init", store_, "--keys", keys_}).rc, 0);
  const auto list = run_cli({"--store", store_, "keys", "list"});
  EXPECT_EQ(list.rc, 0) << list.err;
  for (const char* word : {"collector", "recovery", "raw-meta", "curated-body", "audit"})
    EXPECT_THAT(list.out, HasSubstr(word));
  const std::string out = (base_ / "second.key").string();
  const auto grant =
      run_cli({"--json", "--store", store_, "--identity", keys_, "keys", "grant", "trainer", "--out", out});
  EXPECT_EQ(grant.rc, 0) << grant.out;
  EXPECT_EQ(grant.last().at("pending").as_bool(), false);
  EXPECT_THAT(run_cli({"--json", "--store", store_, "keys", "list"}).out,
              HasSubstr(std::string(grant.last().at("fingerprint").as_string())));
  EXPECT_EQ(
      run_cli({"--store", store_, "--identity", keys_ + "/curator.key", "keys", "grant", "trainer", "--out", out + "2"})
          .rc,
      12);
  EXPECT_EQ(run_cli({"--store", store_, "--identity", keys_, "keys", "grant", "emperor", "--out", out + "2"}).rc, 2);
  EXPECT_EQ(run_cli({"--store", store_, "store", "verify"}).rc, 0);
}

TEST_F(StoreCommands, DemoSeedIsMarkedInsecureAndOnlyFromTheCommandLine) {
  const auto ran = run_cli({"init", store_, "--keys", keys_, "--demo-seed", "7"});
  EXPECT_EQ(ran.rc, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("protect nothing"));
  EXPECT_EQ(run_cli({"--json", "--store", store_, "store", "info"}).last().at("demo").as_bool(), true);
  ASSERT_TRUE(write_file_atomic(base_ / "c.toml", "[init]\ndemo-seed = 7\n"));
  EXPECT_EQ(run_cli({"--config", (base_ / "c.toml").string(), "init", store_ + "2", "--keys", keys_ + "2"}).rc, 2);
  EXPECT_FALSE(fs::exists(store_ + "2"));
  EXPECT_EQ(run_cli({"init", store_ + "2", "--demo-seed", "7", "--passphrase"}).rc, 2);
}

TEST_F(StoreCommands, PassphraseIsNeverAFlagsValue) {
  const auto none = run_cli({"init", store_, "--keys", keys_, "--passphrase"});
  if (!isatty(STDIN_FILENO)) {
    EXPECT_EQ(none.rc, 12);
    EXPECT_THAT(none.err, HasSubstr("SLMCONV_PASSPHRASE_FILE"));
  }
  EXPECT_FALSE(fs::exists(store_));
  ASSERT_TRUE(write_file_atomic(base_ / "pass", "correct horse battery staple\n", 0600));
  setenv("SLMCONV_PASSPHRASE_FILE", (base_ / "pass").c_str(), 1);
  const auto ran = run_cli({"init", store_, "--keys", keys_, "--passphrase"});
  EXPECT_EQ(ran.rc, 0) << ran.err;
  EXPECT_THAT(read_file(fs::path(keys_) / "trainer.key").value(), HasSubstr("protection scrypt 17 8 1 "));

  // Keys that this admin makes later lie under one too, unless they must not.
  const auto grant = [&](const std::string& out, const std::string& flag) {
    std::vector<std::string> args{"--store",   store_,  "--identity", keys_ + "/admin.key", "keys", "grant",
                                  "collector", "--out", out};
    if (!flag.empty()) args.push_back(flag);
    EXPECT_EQ(run_cli(args).rc, 0);
    return read_file(out).value();
  };
  EXPECT_THAT(grant((base_ / "guarded.key").string(), ""), HasSubstr("protection scrypt"));
  EXPECT_THAT(grant((base_ / "open.key").string(), "--no-passphrase"), HasSubstr("protection none"));
  EXPECT_EQ(run_cli({"--store", store_, "--identity", keys_, "keys", "grant", "collector", "--out",
                     (base_ / "both.key").string(), "--passphrase", "--no-passphrase"})
                .rc,
            2);
}

// One life of a fleet at the command line: rotated, revoked, joined, merged, erased, anchored, backed up, restored.
TEST_F(StoreCommands, AFleetsLife) {
  const std::string admin(run_cli({"--json", "init", store_, "--keys", keys_}).last().at("admin").as_string());
  const auto at = [&](const std::string& name) { return (base_ / name).string(); };
  const auto run = [&](std::vector<std::string> args) {
    args.insert(args.begin(), {"--json", "--store", store_, "--identity", keys_});
    return run_cli(args);
  };
  const auto collect = [&](const std::string& store, const std::string& key, const std::string& word) {
    const std::string log = at("log.jsonl");
    EXPECT_TRUE(write_file_atomic(
        log, "{\"messages\":[{\"role\":\"system\",\"content\":\"Answer.\"},{\"role\":\"user\",\"content\":\"" + word +
                 "\"},{\"role\":\"assistant\",\"content\":\"yes\"}]}\n"));
    return run_cli({"--json", "--store", store, "--identity", key, "collect", log});
  };
  ASSERT_EQ(collect(store_, keys_, "first").rc, 0);

  const auto second = run({"keys", "grant", "collector", "--out", at("second.key")});
  ASSERT_EQ(second.rc, 0) << second.out;
  ASSERT_EQ(run({"store", "bundle", "--new-store", "--out", at("b")}).rc, 0);
  EXPECT_EQ(run_cli({"init", at("away"), "--join", at("b"), "--admin", "00"}).rc, 12);
  EXPECT_EQ(run_cli({"init", at("away"), "--join", at("b"), "--keys", at("k")}).rc, 2);
  ASSERT_EQ(run_cli({"init", at("away"), "--join", at("b"), "--admin", admin}).rc, 0);
  ASSERT_EQ(collect(at("away"), at("second.key"), "second").rc, 0);
  const auto merged = run({"store", "merge", at("away")});
  ASSERT_EQ(merged.rc, 0) << merged.out;
  EXPECT_EQ(merged.last().at("n_calls").as_int64(), 1);
  ASSERT_EQ(run_cli({"init", at("stranger"), "--keys", at("stranger-keys")}).rc, 0);
  EXPECT_EQ(run({"store", "merge", at("stranger")}).rc, 12);
  EXPECT_EQ(run({"store", "merge", at("nothing")}).rc, 10);

  const auto rotated = run({"keys", "rotate", "all"});
  ASSERT_EQ(rotated.rc, 0) << rotated.out;
  EXPECT_EQ(rotated.last().at("keys").as_array().size(), 6u);
  EXPECT_EQ(run({"keys", "rotate", "nothing"}).rc, 2);
  const auto revoked = run({"keys", "revoke", std::string(second.last().at("fingerprint").as_string())});
  ASSERT_EQ(revoked.rc, 0) << revoked.out;
  EXPECT_EQ(run({"keys", "revoke", "00000000"}).rc, 2);
  ASSERT_EQ(run({"store", "bundle", "--out", at("now")}).rc, 0);
  EXPECT_EQ(run_cli({"--store", at("away"), "--identity", at("second.key"), "store", "update", at("now")}).rc, 12)
      << "a revoked key takes nothing over";
  ASSERT_EQ(run({"keys", "rewrap"}).rc, 0);
  ASSERT_EQ(run({"keys", "recover", "curator", "--recovery", keys_ + "/recovery.key", "--out", at("third.key")}).rc, 0);

  ASSERT_EQ(run({"store", "anchor", "--to", at("heads")}).rc, 0);
  EXPECT_EQ(run({"store", "anchor", "--to", store_ + "/heads"}).rc, 2);
  EXPECT_EQ(run({"store", "anchor"}).rc, 2);
  ASSERT_EQ(run({"store", "anchor", "--command", "cat >>" + at("heads")}).rc, 0);
  EXPECT_EQ(run({"store", "anchor", "--command", "exit 3"}).rc, 41);
  const auto backup = run({"store", "backup", at("logs"), "--keys-to", at("keybackups"), "--expire-days", "30"});
  ASSERT_EQ(backup.rc, 0) << backup.out;
  const std::string log_copy(backup.last().at("log").as_string()), keys_copy(backup.last().at("keys").as_string());

  const auto dry = run({"store", "erase", "--source", "nobody", "--dry-run"});
  ASSERT_EQ(dry.rc, 0) << dry.out;
  EXPECT_EQ(dry.last().at("changed").as_bool(), false);
  EXPECT_EQ(run({"store", "erase"}).rc, 2);
  EXPECT_EQ(run({"store", "retain"}).rc, 2);
  EXPECT_EQ(run({"store", "retain", "--raw-days", "1"}).last().at("n_raw").as_int64(), 0);
  const auto retained = run({"store", "retain", "--raw-days", "0"});
  ASSERT_EQ(retained.rc, 0) << retained.out;
  EXPECT_EQ(retained.last().at("n_raw").as_int64(), 2);
  ASSERT_EQ(run({"store", "compact"}).rc, 0);
  const auto verified = run({"store", "verify", "--admin", admin, "--anchor", at("heads")});
  EXPECT_EQ(verified.rc, 0) << verified.out;
  EXPECT_EQ(verified.last().at("n_anchors").as_int64(), 2);

  ASSERT_EQ(run_cli({"store", "restore", at("again"), "--from", log_copy, "--keys-from", keys_copy}).rc, 0);
  EXPECT_EQ(run_cli({"--store", at("again"), "store", "verify", "--anchor", at("heads")}).rc, 0);
  EXPECT_EQ(run_cli({"--json", "--store", at("again"), "store", "info"}).last().at("n_raw").as_int64(), 2);
  ASSERT_EQ(run({"store", "anchor", "--to", at("heads")}).rc, 0);
  EXPECT_EQ(run_cli({"--store", at("again"), "store", "verify", "--anchor", at("heads")}).rc, 14) << "older than that";

  const auto shown = run({"audit", "show", "--limit", "3"});
  ASSERT_EQ(shown.rc, 0) << shown.out;
  EXPECT_EQ(shown.last().at("n_out").as_int64(), 3);
  EXPECT_THAT(run_cli({"--store", store_, "--identity", keys_, "audit", "show", "--action", "revoke"}).out,
              HasSubstr("admin"));
  ASSERT_EQ(run({"audit", "export", "--out", at("trail.jsonl")}).rc, 0);
  EXPECT_THAT(read_file(base_ / "trail.jsonl").value(), HasSubstr("\"action\":\"retention\""));
  EXPECT_EQ(run_cli({"--store", store_, "--identity", keys_ + "/trainer.key", "audit", "show"}).rc, 12);
  EXPECT_EQ(run({"store", "verify"}).rc, 0);
}

}  // namespace
}  // namespace slm::cli
