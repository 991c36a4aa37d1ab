// A thin layer over SQLite: connections set up the store's way, statements that give Results.
//
// Every connection: WAL, synchronous FULL, no automatic checkpoint and none at close (checkpoints happen under the
// store's lock: sqlite.org/wal.html#walresetbug), no mmap, defensive, untrusted schema, no ATTACH, no temporary files.
//
// Errors: SQLITE_FULL and I/O errors are kIo; a corrupt page or a file that isn't a database kIntegrity; busy kLocked.
// Threads: a connection and its statements belong to one thread.
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "core/bytes.h"

struct sqlite3;
struct sqlite3_stmt;

namespace slm::store {

class Statement {
 public:
  Statement() = default;

  // Parameters are numbered from 1. Spans must live until the next step() has returned a row or finished.
  Statement& bind(int index, int64_t value);
  Statement& bind(int index, ByteSpan value);
  Statement& bind(int index, std::string_view value);

  // True: there is a row. At the end (false) and on errors the statement is reset, ready to be bound again.
  Result<bool> step();
  // For statements without rows.
  Status run();
  // Gives up the rest of the rows; ends the read transaction.
  void reset();

  int64_t integer(int column) const;
  // Valid until the next step() or reset().
  ByteSpan blob(int column) const;
  std::string_view text(int column) const;
  // Errors: kIntegrity unless the blob has this size.
  template <size_t N>
  Result<std::array<uint8_t, N>> fixed(int column, std::string_view what) const {
    std::array<uint8_t, N> out;
    SLM_CHECK(copy_fixed(column, out, what));
    return out;
  }

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* s) const;
  };
  Status copy_fixed(int column, std::span<uint8_t> out, std::string_view what) const;
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
  bool bind_failed_ = false;
};

class Database {
 public:
  // kForeign: read only, with bounds on the size of a row: a file that may mean harm.
  enum class Mode { kWrite, kCreate, kForeign };
  static Result<Database> open(const std::filesystem::path& path, Mode mode);

  Result<Statement> prepare(std::string_view sql);
  Status exec(const std::string& sql);
  Result<int64_t> integer(std::string_view sql);

  // Begins a write transaction; rolled back unless commit() succeeded by the end of the guard.
  class Transaction {
   public:
    explicit Transaction(Database& db) : db_(&db) {}
    Transaction(Transaction&& other) noexcept : db_(std::exchange(other.db_, nullptr)) {}
    Transaction& operator=(Transaction&&) = delete;
    ~Transaction();
    Status commit();

   private:
    Database* db_;
  };
  Result<Transaction> begin();

  // Moves the WAL into the database as far as readers allow; `truncate` also empties the file. Requires: the store's
  // lock.
  Status checkpoint(bool truncate);
  // SQLite's own check of the pages: of the whole file, or of a table and its indexes. False: it took longer than that
  // and was given up. Errors: kIntegrity naming what is damaged; kInterrupted.
  Result<bool> check_pages(std::string_view table, int64_t limit_ms);
  // Whether the WAL is empty: not while another process reads from it.
  bool wal_is_empty() const;
  // A copy of it, as of the read transaction that is open, if any. Requires: no such file.
  Status copy_to(const std::filesystem::path& target);
  // Rewrites the file without the space that deleted rows left. Requires: the store's lock.
  Status vacuum();
  int64_t wal_pages() const { return wal_pages_ ? *wal_pages_ : 0; }
  const std::filesystem::path& path() const { return path_; }

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  std::filesystem::path path_;
  std::unique_ptr<sqlite3, Close> handle_;
  std::unique_ptr<int64_t> wal_pages_;  // as of the last commit of this connection
};

}  // namespace slm::store
