// What one store of a fleet hands to another: the admin's entries, wraps, and for a store still to be made the header
// its trail begins with. Everything in it is signed by itself; a bundle is no secret, and nobody has to keep it.
//
// The file: "slmconv bundle 1\n", n u32 × field(prev[32] ‖ kind u8 ‖ time_ms u64 ‖ field(payload) ‖ signature[64]),
// n u32 × (what u8 ‖ version u32 ‖ recipient u32 ‖ maker u32 ‖ enc[32] ‖ sealed[48] ‖ signature[64]), and for a new
// store 1 u8 ‖ store[16] ‖ batch[16] ‖ admin_seq u32 ‖ hour u64 ‖ meta_epoch u32 ‖ field(facts) ‖ field(details) ‖
// signature[64], else 0 u8.
//
// Errors: kBadInput for anything that isn't such a file; kIntegrity for what the admin didn't sign.
#pragma once

#include "store/entry.h"
#include "store/wraps.h"

namespace slm::store {

struct Bundle {
  AdminLog admin;
  std::vector<Wrap> wraps;
  std::optional<Entry> init;  // of a store to be made
};
Bytes encode_bundle(const Bundle& bundle);
Result<Bundle> decode_bundle(ByteSpan bytes);
Result<Bundle> read_bundle(const std::filesystem::path& path);

struct Session;
// Takes over what another store of the fleet knows newer of the admin's: entries, then wraps, named by an act "update".
// False: nothing was new. Errors: kWrongKey for another fleet; kIntegrity where the two admin logs go different ways.
Result<bool> adopt_admin(Session& session, const AdminLog& newer, std::span<const Wrap> wraps);
// That both belong to one fleet, and one admin log continues the other.
Status check_same_fleet(const AdminLog& ours, const AdminLog& theirs, std::string_view who);

}  // namespace slm::store
