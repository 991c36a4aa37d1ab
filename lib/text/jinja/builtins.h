// Tables of filters, tests, methods and globals, and how they read their arguments.
//
// Source: the lists of built-in filters and tests of Jinja 3.1's documentation; Python's str, dict and list methods.
#pragma once

#include <initializer_list>
#include <string_view>

#include "text/jinja/interpreter.h"

namespace slm::text::jinja {

using Filter = Value (*)(Interpreter&, const Value& self, const Arguments&);
using Test = bool (*)(Interpreter&, const Value& self, const Arguments&);

// nullptr if there is none of that name.
Filter find_filter(std::string_view name);
Test find_test(std::string_view name);
Filter find_method(const Value& object, std::string_view name);
// Methods that change their object: the sandbox of chat templates forbids them.
bool is_mutator(const Value& object, std::string_view name);
// The value of a global name (range, namespace, …); undefined if there is none.
Value find_global(std::string_view name);

// Positional and named arguments by position. Raises on too many, unknown and repeated ones.
class ArgReader {
 public:
  ArgReader(std::string_view callee, const Arguments& arguments, std::initializer_list<std::string_view> names);
  const Value* get(size_t i) const { return values_[i]; }  // nullptr if not given
  const Value& want(size_t i) const;
  bool flag(size_t i, bool otherwise) const;
  int64_t integer(size_t i, int64_t otherwise) const;
  // Text of a str argument; raises for other kinds.
  std::string_view text(size_t i, std::string_view otherwise) const;

 private:
  std::string_view callee_;
  std::vector<std::string_view> names_;
  std::vector<const Value*> values_;
};

// Python's printf-like formatting: `format % values`.
std::string percent_format(std::string_view format, const Value& values);
// Python's str.format without format specifications.
std::string brace_format(std::string_view format, const Arguments& arguments);
// Splits as str.splitlines does.
std::vector<std::string> split_lines(std::string_view text, bool keep_ends);
// Characters of `chars` (white space if null) off the ends.
std::string_view strip(std::string_view text, const Value* chars, bool left, bool right);
// s.replace(old, new, count); count < 0: all.
std::string replace_text(std::string_view text, std::string_view from, std::string_view to, int64_t count);
std::string capitalize(std::string_view text);

}  // namespace slm::text::jinja
