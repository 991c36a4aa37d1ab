// Sealed files of artefacts: what a step made from text, sealed to the curated-body epoch. The frames lie in the file,
// their leaves and the signed header in the trail, the encapsulation in keys.db: deleting that shreds the file.
//
// The file: "slmconv sealed file 1\n", the group's name (16), number of frames (u32), then per frame its `calls` column
// and its ciphertext, each with a length (u32) before it.
// The header's references are the counters of the reads this session made before: through them an artefact names the
// calls, and so the raw groups, that went into it.
//
// Errors: kWrongKey when this identity may not seal or open; kIntegrity when the file was changed, or isn't the one
// sealed
//   under that name; kIo.
#pragma once

#include "store/session.h"

namespace slm::store {

struct SealedFile {
  std::filesystem::path path;
  std::string name;
};
Status seal_artifact(Session& session, const SealedFile& file, ByteSpan plaintext);
Result<Bytes> open_artifact(Session& session, const SealedFile& file);

// A sealed file taken apart; views into its content. Errors: kIntegrity for anything that isn't such a file, whole.
struct SealedFrames {
  struct Frame {
    ByteSpan calls, sealed;
  };
  Id16 group{};
  std::vector<Frame> frames;
};
Result<SealedFrames> parse_sealed_file(const std::filesystem::path& path, std::string_view content);

struct SealRow;
// Hexadecimal digest of a seal's columns: in the signed facts of an artefact's entry, for its frames aren't in log.db.
std::string seal_digest(const SealRow& seal);

}  // namespace slm::store
