// Jinja's built-in tests: `x is NAME`.
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/builtins.h"
#include "text/unicode.h"

namespace slm::text::jinja {
namespace {

void no_arguments(const Arguments& a) { ArgReader("test", a, {}); }
const Value& other(const Arguments& a) { return ArgReader("test", a, {"other"}).want(0); }

// str.islower / str.isupper of the text of any value.
bool has_case(const Value& v, bool upper) {
  bool cased = false;
  for (const char32_t c : to_code_points(to_text(v))) {
    const bool is_upper = lower_of(c) != c, is_lower = upper_of(c) != c || c == 0xdf;
    if (upper ? is_lower : is_upper) return false;
    cased |= is_upper || is_lower;
  }
  return cased;
}

int64_t integer_of(const Value& v) {
  if (v.is_undefined()) raise(v.undefined_reason());
  if (!v.is_integral()) raise(fmt::format("an integer is needed, not {}", v.type_name()));
  return v.as_integral();
}

bool same(const Value& a, const Value& b) { return std::string_view(a.type_name()) == b.type_name() && equal(a, b); }

struct TestRow {
  std::string_view name;
  Test test;
};
using I = Interpreter;
using V = Value;
using A = Arguments;
constexpr TestRow kTests[] = {
    {"defined", [](I&, const V& v, const A& a) { return no_arguments(a), !v.is_undefined(); }},
    {"undefined", [](I&, const V& v, const A& a) { return no_arguments(a), v.is_undefined(); }},
    {"none", [](I&, const V& v, const A& a) { return no_arguments(a), v.is_none(); }},
    {"string", [](I&, const V& v, const A& a) { return no_arguments(a), v.is_string(); }},
    {"mapping", [](I&, const V& v, const A& a) { return no_arguments(a), v.is_dict(); }},
    {"sequence",
     [](I&, const V& v, const A& a) {
       return no_arguments(a),
              v.is_string() || v.is_dict() || v.is_undefined() ||
                  (v.is_list() && v.as_list().kind != ListKind::kGenerator && v.as_list().kind != ListKind::kView);
     }},
    {"iterable",
     [](I&, const V& v, const A& a) {
       return no_arguments(a), v.is_string() || v.is_dict() || v.is_list() || v.is_undefined();
     }},
    {"number", [](I&, const V& v, const A& a) { return no_arguments(a), v.is_number(); }},
    {"integer", [](I&, const V& v, const A& a) { return no_arguments(a), v.is_int(); }},
    {"float", [](I&, const V& v, const A& a) { return no_arguments(a), v.is_float(); }},
    {"boolean", [](I&, const V& v, const A& a) { return no_arguments(a), v.is_bool(); }},
    {"true", [](I&, const V& v, const A& a) { return no_arguments(a), v.is_bool() && v.as_bool(); }},
    {"false", [](I&, const V& v, const A& a) { return no_arguments(a), v.is_bool() && !v.as_bool(); }},
    {"callable", [](I&, const V& v, const A& a) { return no_arguments(a), v.is_callable() || v.is_loop(); }},
    {"odd", [](I&, const V& v, const A& a) { return no_arguments(a), integer_of(v) % 2 != 0; }},
    {"even", [](I&, const V& v, const A& a) { return no_arguments(a), integer_of(v) % 2 == 0; }},
    {"divisibleby",
     [](I& i, const V& v, const A& a) {
       return integer_of(i.binary("%", Value::integer(integer_of(v)), Value::integer(integer_of(other(a))))) == 0;
     }},
    {"lower", [](I&, const V& v, const A& a) { return no_arguments(a), has_case(v, false); }},
    {"upper", [](I&, const V& v, const A& a) { return no_arguments(a), has_case(v, true); }},
    {"in", [](I& i, const V& v, const A& a) { return i.contains(other(a), v); }},
    {"sameas", [](I&, const V& v, const A& a) { return same(v, other(a)); }},
    {"equalto", [](I&, const V& v, const A& a) { return equal(v, other(a)); }},
    {"eq", [](I&, const V& v, const A& a) { return equal(v, other(a)); }},
    {"==", [](I&, const V& v, const A& a) { return equal(v, other(a)); }},
    {"ne", [](I&, const V& v, const A& a) { return !equal(v, other(a)); }},
    {"!=", [](I&, const V& v, const A& a) { return !equal(v, other(a)); }},
    {"lt", [](I&, const V& v, const A& a) { return less(v, other(a)); }},
    {"lessthan", [](I&, const V& v, const A& a) { return less(v, other(a)); }},
    {"<", [](I&, const V& v, const A& a) { return less(v, other(a)); }},
    {"le", [](I&, const V& v, const A& a) { return less(v, other(a)) || equal(v, other(a)); }},
    {"<=", [](I&, const V& v, const A& a) { return less(v, other(a)) || equal(v, other(a)); }},
    {"gt", [](I&, const V& v, const A& a) { return less(other(a), v); }},
    {"greaterthan", [](I&, const V& v, const A& a) { return less(other(a), v); }},
    {">", [](I&, const V& v, const A& a) { return less(other(a), v); }},
    {"ge", [](I&, const V& v, const A& a) { return less(other(a), v) || equal(v, other(a)); }},
    {">=", [](I&, const V& v, const A& a) { return less(other(a), v) || equal(v, other(a)); }},
    {"filter", [](I&, const V& v,
                  const A& a) { return no_arguments(a), v.is_string() && find_filter(v.as_string()) != nullptr; }},
    {"test",
     [](I&, const V& v, const A& a) { return no_arguments(a), v.is_string() && find_test(v.as_string()) != nullptr; }},
};

}  // namespace

Test find_test(std::string_view name) {
  const auto* row = std::find_if(std::begin(kTests), std::end(kTests), [&](const auto& r) { return r.name == name; });
  return row == std::end(kTests) ? nullptr : row->test;
}

}  // namespace slm::text::jinja
