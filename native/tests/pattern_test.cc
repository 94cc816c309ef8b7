// Regular expressions: the language of Python's, in linear time, and clean refusals of the rest.
#include "format/pattern.h"

#include <string>

#include "check.h"

using sterna::Pattern;

namespace {

bool matches(const std::string& pattern, const std::string& text) {
  std::string why;
  const auto compiled = Pattern::compile(pattern, why);
  CHECK_EQ(why, "");
  return compiled && compiled->matches(text);
}

std::string refusal(const std::string& pattern) {
  std::string why;
  CHECK(!Pattern::compile(pattern, why));
  CHECK(!why.empty());
  return why;
}

}  // namespace

TEST(whole_texts_match) {
  CHECK(matches("abc", "abc"));
  CHECK(!matches("abc", "abcd"));
  CHECK(!matches("abc", "xabc"));
  CHECK(matches("", ""));
  CHECK(!matches("", "a"));
  CHECK(matches("a|bc|", ""));
  CHECK(matches("a|bc", "bc"));
  CHECK(!matches("a.c", "a\nc"));
}

TEST(repeats) {
  CHECK(matches("ab*c", "ac"));
  CHECK(matches("ab*c", "abbbc"));
  CHECK(!matches("ab+c", "ac"));
  CHECK(matches("ab?c", "ac"));
  CHECK(!matches("ab?c", "abbc"));
  CHECK(matches("(ab){2}", "abab"));
  CHECK(!matches("(ab){2}", "ab"));
  CHECK(matches("a{2,}", "aaaa"));
  CHECK(!matches("a{2,}", "a"));
  CHECK(matches("a{,2}", ""));
  CHECK(matches("a{1,3}", "aaa"));
  CHECK(!matches("a{1,3}", "aaaa"));
  CHECK(matches("a{0}b", "b"));
  CHECK(matches("(a*)*", "aaa"));
  CHECK(matches("(|a)+", "aa"));
  CHECK(matches(".*?\\.x", "a.b.x"));
}

TEST(classes_and_escapes) {
  CHECK(matches("[0-9]+\\.[a-c_]", "10.b"));
  CHECK(!matches("[^0-9]", "7"));
  CHECK(matches("[^0-9]", "x"));
  CHECK(matches("[]a-]+", "]a-"));
  CHECK(matches("[\\d.]+", "1.2"));
  CHECK(matches("\\d\\w\\s\\D\\W\\S", "1_ x-y"));
  CHECK(!matches("\\.", "x"));
  CHECK(matches("^a\\b.*\\Bb$", "a cb"));
  CHECK(!matches("a\\bb", "ab"));
  CHECK(!matches("a^b", "ab"));
}

TEST(patterns_of_adapters) {
  const std::string layer = "model.layers.12.self_attn.q_proj";
  CHECK(matches(".*\\.(q|v)_proj", layer));
  CHECK(matches("model\\.layers\\.(?:1[0-9]|2)\\.self_attn\\.(?P<name>q_proj|k_proj)$", layer));
  CHECK(!matches(".*mlp.*", layer));
  CHECK(
      matches("(?:.*?(?:language|text).*?)|(?:\\bmodel\\.layers\\.[\\d]{1,}\\.(?:self_attn|mlp)\\."
              "(?:(?:q_proj|k_proj)))",
              layer));
}

TEST(time_is_linear) {
  // Backtracking would take 2^2000 steps.
  const std::string text(2000, 'a');
  CHECK(!matches("(a|a)*(a|aa)*(a*)*b", text));
  CHECK(matches("(a*)*(a*)*(a*)*", text));
}

TEST(refusals) {
  for (const char* pattern :
       {"(",      ")",     "a)",     "[",      "[a",      "[b-a]", "*",     "a**",
        "a{",     "a{x}",  "a{2",    "a{3,2}", "a{5000}", "\\",    "(?=a)", "(?!a)",
        "(?<=a)", "(?i)a", "(?P=n)", "(?P<n",  "\\1",     "a++",   "\\q"}) {
    refusal(pattern);
  }
  CHECK(refusal(std::string(10000, 'a')).find("long") != std::string::npos);
  CHECK(refusal("((((a{1000}){1000}){1000}){1000})").find("large") != std::string::npos);
  // Repeats of nothing, which make no states.
  CHECK(refusal("((((){1000}){1000}){1000}){1000}").find("large") != std::string::npos);
  CHECK(matches("(){1000}a", "a"));
  CHECK(refusal(std::string(100, '(') + std::string(100, ')')).find("deep") != std::string::npos);
}
