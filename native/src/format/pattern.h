// Regular expressions of untrusted files, in time linear in the text: no backtracking.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sterna {

// The part of Python's syntax that has a finite automaton: literals, `.`, classes, escapes such as
// \d \w \s \b, anchors, groups, alternatives and repeats, lazy or not. Bytes, not code points.
class Pattern {
 public:
  // Nothing when the text is malformed, too large, or uses what has no finite automaton
  // (look-around, back references, flags); `why` then says so in a few words.
  static std::optional<Pattern> compile(std::string_view text, std::string& why);

  // States of the automaton: a match takes time in proportion to them and to the text.
  std::size_t size() const { return states_.size(); }

  // Whether all of `text` matches, as re.fullmatch.
  bool matches(std::string_view text) const;

 private:
  friend class PatternCompiler;
  using Bytes = std::bitset<256>;
  enum class Kind : std::uint8_t { kBytes, kSplit, kBegin, kEnd, kBoundary, kNoBoundary, kMatch };
  // A simulation of Thompson's automaton (Comm. ACM 11, 1968).
  struct State {
    Kind kind = Kind::kMatch;
    int next = -1;
    int other = -1;  // of kSplit
    int bytes = -1;  // of kBytes
  };

  Pattern() = default;
  bool passes(Kind kind, std::string_view text, std::size_t at) const;

  std::vector<State> states_;
  std::vector<Bytes> sets_;
  int start_ = -1;
};

}  // namespace sterna
