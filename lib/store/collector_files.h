// What live capture keeps beside the databases: `collector/` with NN.marks (counters) and NN.spool (sealed calls that
// wait for the store) of each process that records, and NN.a.spool and NN.b.spool (sealed requests) of each that
// receives traces. What lies in a spool isn't in the store yet: here it is only found, and copied unopened.
//
// The file of a spool: "SLMSPOOL", then per record a length (32 bits, little-endian) and that many bytes; a length of 0
// ends it, whatever lies behind.
// Errors: kIo.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/error.h"

namespace slm::store {

inline constexpr std::string_view kCollectorFolder = "collector", kSpoolEnding = ".spool", kSpoolMagic = "SLMSPOOL";
inline constexpr std::string_view kSpoolHint =
    "slmconv collect with --listen … --on-store-failure spool, or --otlp … --durability durable, as it ran, brings "
    "them in";

// The spools of a store that hold something. The store's files may mean harm: anything but a plain file is passed over.
std::vector<std::filesystem::path> waiting_spools(const std::filesystem::path& dir);

// Whether the file at `path` is a spool that holds something.
bool is_waiting_spool(const std::filesystem::path& path);

// All of `bytes` from that place of the file on; false: not so many are there.
bool read_at(int fd, std::span<uint8_t> bytes, int64_t at);

// Copies a spool up to its end. The collector may write meanwhile: a record cut off by that is the last one, and what
// it clears meanwhile is in the store.
Status copy_spool(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace slm::store
