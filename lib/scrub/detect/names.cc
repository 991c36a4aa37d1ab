#include "scrub/detect/names.h"

#include <algorithm>
#include <unordered_set>

#include "scrub/detect/normalise.h"

namespace slm::scrub {

namespace {

using Words = std::unordered_set<std::string_view>;

// Written with a capital after a greeting, a label or a role, and not a name.
const Words& stop_words() {
  static const Words words = {
      // whom one writes to without knowing the name
      "all", "everyone", "everybody", "team", "sir", "sirs", "madam", "ma'am", "customer", "customers", "client",
      "clients", "valued", "friend", "friends", "folks", "guys", "colleague", "colleagues", "member", "members", "user",
      "users", "guest", "guests", "support", "service", "services", "sales", "billing", "manager", "managers",
      "director", "hiring", "human", "resources", "department", "dept", "office", "desk", "helpdesk", "admin",
      "administrator", "agent", "agents", "assistant", "bot", "reader", "readers", "subscriber", "partner", "partners",
      "applicant", "candidate", "committee", "chair", "editor", "staff", "recruiter", "webmaster", "operator", "there",
      "world", "again", "both", "y'all", "passenger", "passengers", "traveler", "traveller", "student", "patient",
      "account", "accounts", "company", "group", "inc", "ltd", "llc", "gmbh", "corp", "corporation", "bank", "shop",
      "store", "unknown", "none", "null", "anonymous", "n/a", "na", "nil", "tbd", "test", "other", "others", "various",
      "president", "minister", "doctor", "professor", "captain", "officer", "representative", "specialist", "analyst",
      "engineer", "developer", "owner", "holder", "contact", "number", "name", "names", "id", "email", "e-mail",
      "phone", "address", "order", "orders", "ticket", "tickets", "case", "invoice", "request", "message", "subject",
      "date", "time", "status", "priority", "type", "category", "product", "item", "items", "reference", "ref",
      // how people go on
      "i", "i'm", "i've", "i'd", "i'll", "we", "we're", "we've", "you", "you're", "your", "yours", "he", "she", "it",
      "it's", "they", "them", "my", "our", "their", "his", "her", "its", "me", "us", "the", "a", "an", "this", "that",
      "these", "those", "here", "is", "are", "was", "were", "be", "been", "am", "and", "or", "but", "so", "if", "as",
      "at", "by", "for", "from", "in", "of", "on", "to", "with", "about", "after", "before", "since", "until", "no",
      "not", "yes", "ok", "okay", "please", "thanks", "thank", "sorry", "hello", "hi", "hey", "dear", "good", "great",
      "best", "kind", "regards", "sincerely", "cheers", "welcome", "congratulations", "morning", "afternoon", "evening",
      "night", "day", "today", "tomorrow", "yesterday", "now", "then", "when", "where", "what", "which", "who", "why",
      "how", "can", "could", "would", "should", "will", "shall", "may", "might", "must", "do", "does", "did", "have",
      "has", "had", "let", "let's", "just", "only", "also", "very", "really", "still", "already", "never", "always",
      "any", "some", "every", "each", "more", "most", "much", "many", "first", "last", "next", "new", "old", "same",
      "happy", "glad", "unfortunately", "however", "because", "once", "see", "looking", "hope", "hoping", "wishing",
      "sent", "get", "got", "need", "want", "waiting", "nothing", "everything", "anything", "something", "someone",
      "anyone", "nobody", "trying", "having", "writing", "calling", "reaching", "interested", "able", "unable", "sure",
      "afraid", "going", "done", "ready", "back", "free", "perfect", "awesome", "amazing", "excellent", "wonderful",
      "fantastic", "lovely", "nice", "super", "cool", "right", "well", "fine", "true", "false", "urgent", "important",
      "note", "update", "info", "information", "details", "summary", "help", "question", "questions", "issue", "issues",
      "problem", "problems", "error", "fyi", "asap", "ps", "re", "fw", "fwd", "cc", "bcc", "vip", "faq", "usa", "uk",
      "eu", "api", "url", "http", "https", "json", "html", "pdf", "word", "excel", "teams", "windows", "linux",
      "google", "amazon", "apple", "microsoft", "android", "internet", "premium", "basic", "standard", "pro", "plus",
      "gold", "silver", "platinum", "business", "enterprise", "plan", "delivery", "shipping", "return", "returns",
      "refund", "payment", "card", "credit", "debit", "warranty", "quality", "care", "success", "experience",
      "relations", "center", "centre", "hotline", "line", "portal", "app", "site", "website", "page", "wife", "husband",
      // calendar, places one lives or sends to
      "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "mon", "tue", "wed", "thu", "fri",
      "sat", "sun", "january", "february", "march", "june", "july", "august", "september", "october", "november",
      "december", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "christmas",
      "easter", "english", "german", "french", "spanish", "italian", "american", "british", "european", "north",
      "south", "east", "west", "street", "avenue", "road", "city", "state", "country"};
  return words;
}

// Ordinary words that follow "my name is" in small letters.
const Words& lower_stop_words() {
  static const Words words = {
      "spelled",   "spelt",     "misspelled",   "misspelt",  "wrong",     "incorrect",  "correct",  "missing",
      "listed",    "printed",   "registered",   "changed",   "different", "under",      "over",     "into",
      "being",     "showing",   "displayed",    "written",   "shown",     "too",        "long",     "short",
      "common",    "mentioned", "below",        "above",     "there",     "misprinted", "cut",      "off",
      "out",       "up",        "down",         "entered",   "recorded",  "saved",      "attached", "associated",
      "linked",    "given",     "used",         "required",  "needed",    "mud",        "legally",  "officially",
      "actually",  "currently", "apparently",   "simply",    "in",        "full",       "hard",     "easy",
      "difficult", "private",   "confidential", "important", "secret",    "exactly",    "one"};
  return words;
}

const Words& particles() {
  static const Words words = {"van", "von", "de",  "der", "den", "del", "della", "da", "di", "dos", "du",
                              "la",  "le",  "bin", "ibn", "al",  "el",  "ter",   "zu", "y",  "e",   "das"};
  return words;
}

const Words& ordinary_words() {
  static const Words words = {
      "will",    "may",     "mark",   "bill",    "rich",     "art",    "grace",    "hope",     "joy",     "faith",
      "chase",   "grant",   "page",   "long",    "young",    "white",  "black",    "brown",    "green",   "king",
      "price",   "bell",    "rose",   "ruby",    "amber",    "april",  "june",     "august",   "summer",  "autumn",
      "dawn",    "eve",     "frank",  "gene",    "guy",      "jack",   "max",      "miles",    "pat",     "pearl",
      "penny",   "ray",     "rob",    "rusty",   "skip",     "stone",  "sunny",    "terry",    "tony",    "victor",
      "violet",  "wade",    "ward",   "wood",    "woods",    "cook",   "baker",    "carter",   "fisher",  "hunter",
      "mason",   "miller",  "parker", "porter",  "potter",   "sawyer", "shepherd", "smith",    "taylor",  "tanner",
      "turner",  "walker",  "weaver", "banks",   "brooks",   "field",  "fields",   "ford",     "forest",  "hall",
      "hill",    "lake",    "marsh",  "moore",   "park",     "rivers", "street",   "winter",   "winters", "day",
      "knight",  "noble",   "bishop", "pope",    "drew",     "case",   "church",   "cross",    "dean",    "earl",
      "fox",     "golden",  "hand",   "head",    "house",    "law",    "major",    "marshall", "nice",    "order",
      "pay",     "power",   "read",   "sharp",   "short",    "small",  "sparks",   "strong",   "sweet",   "swift",
      "true",    "wise",    "wolf",   "wright",  "berry",    "bond",   "branch",   "bridges",  "bush",    "butler",
      "cash",    "daisy",   "ginger", "heather", "holly",    "iris",   "ivy",      "jade",     "lily",    "olive",
      "paris",   "reed",    "robin",  "sage",    "sandy",    "star",   "stella",   "sky",      "trip",    "trinity",
      "charity", "harmony", "honor",  "justice", "patience", "mercy"};
  return words;
}

// A word of a company's or institution's name: then the whole is no person's.
const Words& company_words() {
  static const Words words = {"inc",         "ltd",          "limited",     "llc",        "gmbh",         "corp",
                              "corporation", "company",      "co",          "plc",        "ag",           "group",
                              "holding",     "holdings",     "supply",      "supplies",   "services",     "solutions",
                              "systems",     "technologies", "technology",  "labs",       "laboratories", "studio",
                              "studios",     "media",        "bank",        "insurance",  "airlines",     "airways",
                              "hotel",       "hotels",       "hospital",    "clinic",     "university",   "college",
                              "school",      "institute",    "academy",     "foundation", "association",  "society",
                              "museum",      "library",      "ministry",    "council",    "agency",       "store",
                              "stores",      "shop",         "market",      "outlet",     "restaurant",   "garden",
                              "gardens",     "logistics",    "express",     "energy",     "telecom",      "software",
                              "networks",    "industries",   "enterprises", "partners",   "consulting",   "associates",
                              "team",        "support",      "service",     "department", "center",       "centre"};
  return words;
}

bool lower_letter(char c) { return c >= 'a' && c <= 'z'; }
bool upper_letter(char c) { return c >= 'A' && c <= 'Z'; }

std::string_view without_possessive(std::string_view token) {
  for (const std::string_view tail : {"'s", "'S", "\u2019s"})
    if (token.size() > tail.size() + 1 && token.ends_with(tail)) return token.substr(0, token.size() - tail.size());
  return token;
}

bool all_capitals(std::string_view token) {
  return token.size() > 1 && std::all_of(token.begin(), token.end(), upper_letter);
}

// What can stand before a label or nothing can.
bool begins_clause(std::string_view text, size_t at) {
  while (at > 0 && (text[at - 1] == ' ' || text[at - 1] == '\t' || text[at - 1] == '*' || text[at - 1] == '"' ||
                    text[at - 1] == '\'' || text[at - 1] == '-' || text[at - 1] == '#'))
    --at;
  if (at == 0) return true;
  return std::string_view("\n\r.,;:!?|([{}])>/\\").find(text[at - 1]) != std::string_view::npos;
}

}  // namespace

std::string fold_case(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (upper_letter(c)) c = static_cast<char>(c + 32);
  return out;
}

std::vector<std::string_view> name_tokens(std::string_view name) {
  std::vector<std::string_view> out;
  for (size_t i = 0; i < name.size();) {
    if (name[i] == ' ' || name[i] == '\t' || name[i] == ',') {
      ++i;
      continue;
    }
    const size_t from = i;
    while (i < name.size() && name[i] != ' ' && name[i] != '\t' && name[i] != ',') ++i;
    out.push_back(name.substr(from, i - from));
  }
  return out;
}

bool is_particle(std::string_view token) { return particles().contains(token); }

bool is_initial(std::string_view token) {
  size_t at = 0;
  if (token.empty()) return false;
  next_char(token, at);
  return at == token.size() || token.substr(at) == "." ||
         (token.size() <= 6 && token.find('.') != std::string_view::npos);
}

bool is_stop_word(std::string_view token) { return stop_words().contains(fold_case(token)); }

bool is_ordinary_word(std::string_view token) { return ordinary_words().contains(fold_case(token)); }

bool valid_name(Candidate& c) {
  const std::string_view value = c.value();
  const auto tokens = name_tokens(value);
  size_t end = c.begin;
  int n_words = 0, n_initials = 0;
  bool capitals = true;
  if (tokens.size() > 1 && std::any_of(tokens.begin() + 1, tokens.end(), [](std::string_view token) {
        return company_words().contains(fold_case(token));
      }))
    return false;
  for (const std::string_view token : tokens) {
    const std::string_view bare = without_possessive(token);
    if (stop_words().contains(fold_case(bare))) break;
    if (!is_particle(token)) {
      ++(is_initial(token) ? n_initials : n_words);
      if (!is_initial(token)) capitals = capitals && all_capitals(bare);
      end = static_cast<size_t>(bare.data() - c.text.data()) + bare.size();
    }
    if (bare.size() != token.size()) break;
  }
  if (n_words == 0 || n_words + n_initials < c.min_tokens) return false;
  if (n_words == 1 && n_initials == 0 && capitals && end - c.begin < 5) return false;  // an abbreviation
  // Where two words are asked for, the whole run of capitalised words has to be the name.
  if (c.min_tokens >= 2 && end != c.end && end + 2 < c.end &&
      without_possessive(tokens.back()).size() == tokens.back().size())
    return false;
  if (end - c.begin < 2) return false;
  c.end = end;
  return true;
}

bool valid_labelled_name(Candidate& c) { return begins_clause(c.text, c.word_begin) && valid_name(c); }

bool valid_titled_name(Candidate& c) {
  const std::string_view title = c.text.substr(c.word_begin, 2);
  return title.size() == 2 && upper_letter(title[0]) && !upper_letter(title[1]) && valid_name(c);
}

bool valid_lower_name(Candidate& c) {
  const auto tokens = name_tokens(c.value());
  size_t end = c.begin;
  for (const std::string_view token : tokens) {
    const std::string_view bare = without_possessive(token);
    if (stop_words().contains(bare) || lower_stop_words().contains(bare) || is_ordinary_word(bare)) break;
    if (bare.size() > 4 && (bare.ends_with("ing") || bare.ends_with("ed") || bare.ends_with("ly"))) break;
    end = static_cast<size_t>(bare.data() - c.text.data()) + bare.size();
    if (bare.size() != token.size()) break;
  }
  if (end < c.begin + 3 || !lower_letter(c.text[c.begin])) return false;
  c.end = end;
  return true;
}

}  // namespace slm::scrub
