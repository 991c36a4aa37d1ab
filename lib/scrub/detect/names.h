// Names of people: which capitalised words after a context word are one, and what parts it has.
//
// Names are told by what stands before them, not by a list of names; scripts without capital letters aren't covered.
// Requires: valid UTF-8.
// Threads: pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "scrub/detect/validate.h"

namespace slm::scrub {

// Cuts the candidate at the first word that no name has ("Jane Doe Tuesday"); false if fewer than min_tokens remain.
bool valid_name(Candidate& c);
// The same for labels ("Name: …"): the label must begin a line or clause, so that "file name:" isn't one.
bool valid_labelled_name(Candidate& c);
// The same after a title, which must be written like one ("Ms", not "ms" or "MS").
bool valid_titled_name(Candidate& c);
// A name written small ("my name is jane doe"): none of its words is an ordinary one.
bool valid_lower_name(Candidate& c);

// "Jane O'Neil-Smith" → its words, initials and particles included.
std::vector<std::string_view> name_tokens(std::string_view name);
bool is_particle(std::string_view token);  // van, de, bin, …
bool is_initial(std::string_view token);   // "J", "J."
// A name that is an ordinary word too (Will, May, Grace): alone it counts only where no sentence begins.
bool is_ordinary_word(std::string_view token);
// A word that no name has ("Tuesday", "Team", "Dear").
bool is_stop_word(std::string_view token);
// ASCII lower case.
std::string fold_case(std::string_view text);

}  // namespace slm::scrub
