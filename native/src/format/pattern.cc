#include "format/pattern.h"

#include <algorithm>
#include <utility>

namespace sterna {

namespace {

constexpr std::size_t kMaxPattern = 8192;
constexpr std::size_t kMaxStates = 20000;
constexpr std::size_t kMaxVisits = 20 * kMaxStates;  // of the tree's nodes, while states are made
constexpr int kMaxDepth = 64;
constexpr int kMaxRepeat = 1000;

bool is_word(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

}  // namespace

// Recursive descent to a tree, then from the tree, back to front, to states.
class PatternCompiler {
 public:
  explicit PatternCompiler(std::string_view text) : text_(text) {}

  std::optional<Pattern> compile(std::string& why) {
    int root = -1;
    if (text_.size() > kMaxPattern) {
      fail("is too long");
    } else {
      root = alternatives(0);
      if (why_.empty() && at_ < text_.size()) fail("has a ) too many");
    }
    if (why_.empty()) {
      const int match = state({Pattern::Kind::kMatch});
      pattern_.start_ = emit(root, match);
    }
    why = why_;
    if (!why_.empty()) return std::nullopt;
    return std::move(pattern_);
  }

 private:
  enum class Form { kLeaf, kSequence, kChoice, kRepeat };
  struct Node {
    Form form = Form::kSequence;
    Pattern::Kind kind = Pattern::Kind::kBytes;  // of a leaf
    int bytes = -1;
    std::vector<int> children;
    int least = 0;
    int most = 0;  // -1: no limit
  };

  void fail(const char* why) {
    if (why_.empty()) why_ = why;
  }
  bool more() const { return why_.empty() && at_ < text_.size(); }
  bool take(char c) {
    if (!more() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  int node(Node value) {
    nodes_.push_back(std::move(value));
    return static_cast<int>(nodes_.size()) - 1;
  }
  int leaf(const Pattern::Bytes& bytes) {
    pattern_.sets_.push_back(bytes);
    Node value;
    value.form = Form::kLeaf;
    value.bytes = static_cast<int>(pattern_.sets_.size()) - 1;
    return node(value);
  }
  int assertion(Pattern::Kind kind) {
    Node value;
    value.form = Form::kLeaf;
    value.kind = kind;
    return node(value);
  }

  int alternatives(int depth) {
    if (depth > kMaxDepth) fail("is nested too deep");
    Node choice;
    choice.form = Form::kChoice;
    do {
      choice.children.push_back(sequence(depth));
    } while (take('|'));
    return choice.children.size() == 1 ? choice.children[0] : node(choice);
  }

  int sequence(int depth) {
    Node list;
    while (more() && text_[at_] != '|' && text_[at_] != ')') {
      const int item = atom(depth);
      if (!why_.empty()) break;
      list.children.push_back(repeated(item));
    }
    return node(list);
  }

  int repeated(int item) {
    for (bool first = true; more(); first = false) {
      Node repeat;
      repeat.form = Form::kRepeat;
      repeat.children = {item};
      repeat.most = -1;
      if (take('*')) {
      } else if (take('+')) {
        repeat.least = 1;
      } else if (take('?')) {
        repeat.most = 1;
      } else if (take('{')) {
        bounds(repeat);
      } else {
        break;
      }
      if (!first) fail("repeats a repeat");
      if (take('?')) {  // lazy: the same texts match
      } else if (more() && text_[at_] == '+') {
        fail("uses a possessive repeat");
      }
      item = node(repeat);
    }
    return item;
  }

  int number() {
    int value = 0;
    bool any = false;
    while (more() && text_[at_] >= '0' && text_[at_] <= '9') {
      value = std::min(value * 10 + (text_[at_++] - '0'), kMaxRepeat + 1);
      any = true;
    }
    return any ? value : -1;
  }

  void bounds(Node& repeat) {
    const int least = number();
    repeat.least = std::max(least, 0);
    repeat.most = least;
    const bool range = take(',');
    if (range) repeat.most = number();
    if (!take('}') || (least < 0 && (!range || repeat.most < 0))) fail("has a { without a count");
    if (repeat.most >= 0 && repeat.most < repeat.least)
      fail("has a repeat of fewer than its least");
    if (repeat.least > kMaxRepeat || repeat.most > kMaxRepeat) fail("repeats too often");
  }

  int atom(int depth) {
    const char c = text_[at_++];
    switch (c) {
      case '(':
        return group(depth);
      case '[':
        return leaf(set());
      case '.': {
        Pattern::Bytes any = Pattern::Bytes().set();
        any.reset('\n');
        return leaf(any);
      }
      case '^':
        return assertion(Pattern::Kind::kBegin);
      case '$':
        return assertion(Pattern::Kind::kEnd);
      case '\\':
        if (take('b')) return assertion(Pattern::Kind::kBoundary);
        if (take('B')) return assertion(Pattern::Kind::kNoBoundary);
        if (take('A')) return assertion(Pattern::Kind::kBegin);
        if (take('Z')) return assertion(Pattern::Kind::kEnd);
        return leaf(escape());
      case '*':
      case '+':
      case '?':
      case '{':
        fail("repeats nothing");
        return -1;
      default:
        return leaf(Pattern::Bytes().set(static_cast<unsigned char>(c)));
    }
  }

  int group(int depth) {
    if (take('?')) {
      if (take('P')) {
        if (!take('<')) fail("uses a back reference");
        while (more() && is_word(static_cast<unsigned char>(text_[at_]))) ++at_;
        if (!take('>')) fail("has a group without a name");
      } else if (!take(':')) {
        fail("uses look-around or flags");
      }
    }
    const int inner = alternatives(depth + 1);
    if (!take(')')) fail("has a ( without a )");
    return inner;
  }

  // Behind a backslash.
  Pattern::Bytes escape() {
    Pattern::Bytes bytes;
    if (!more()) {
      fail("ends with a backslash");
      return bytes;
    }
    const char c = text_[at_++];
    const auto fill = [&](auto&& holds) {
      for (int i = 0; i < 256; ++i) bytes[i] = holds(static_cast<unsigned char>(i));
    };
    const auto space = [](unsigned char b) { return b == ' ' || (b >= 9 && b <= 13); };
    const auto digit = [](unsigned char b) { return b >= '0' && b <= '9'; };
    if (c == 'd' || c == 'D') {
      fill([&](unsigned char b) { return digit(b) == (c == 'd'); });
    } else if (c == 'w' || c == 'W') {
      fill([&](unsigned char b) { return is_word(b) == (c == 'w'); });
    } else if (c == 's' || c == 'S') {
      fill([&](unsigned char b) { return space(b) == (c == 's'); });
    } else if (is_word(static_cast<unsigned char>(c)) && c != '_') {
      fail(c >= '0' && c <= '9' ? "uses a back reference" : "uses an unknown escape");
    } else {
      bytes.set(static_cast<unsigned char>(c));
    }
    return bytes;
  }

  // Behind a [.
  Pattern::Bytes set() {
    Pattern::Bytes bytes;
    const bool negated = take('^');
    for (bool first = true; more() && (first || text_[at_] != ']'); first = false) {
      const char c = text_[at_++];
      if (c == '\\') {
        bytes |= escape();
        continue;
      }
      const auto low = static_cast<unsigned char>(c);
      unsigned char high = low;
      if (at_ + 1 < text_.size() && text_[at_] == '-' && text_[at_ + 1] != ']') {
        high = static_cast<unsigned char>(text_[at_ + 1]);
        at_ += 2;
        if (high == '\\' || high < low) fail("has a range of characters that is not one");
      }
      for (int b = low; b <= high; ++b) bytes.set(b);
    }
    if (!take(']')) fail("has a [ without a ]");
    return negated ? ~bytes : bytes;
  }

  int state(Pattern::State value) {
    if (pattern_.states_.size() >= kMaxStates) {
      fail("is too large");
      return 0;
    }
    pattern_.states_.push_back(value);
    return static_cast<int>(pattern_.states_.size()) - 1;
  }

  // States that match the node and go on at `next`; returns the first of them.
  int emit(int index, int next) {
    // Repeats of nothing make no states, and would be unrolled without an end.
    if (++visits_ > kMaxVisits) fail("is too large");
    if (!why_.empty()) return 0;
    const Node& node = nodes_[index];
    switch (node.form) {
      case Form::kLeaf:
        return state({node.kind, next, -1, node.bytes});
      case Form::kSequence:
        for (std::size_t i = node.children.size(); i-- > 0;) next = emit(node.children[i], next);
        return next;
      case Form::kChoice: {
        int first = emit(node.children.back(), next);
        for (std::size_t i = node.children.size() - 1; i-- > 0;) {
          first = state({Pattern::Kind::kSplit, emit(node.children[i], next), first});
        }
        return first;
      }
      case Form::kRepeat:
        return emit_repeat(node, next);
    }
    return next;
  }

  int emit_repeat(const Node& node, int next) {
    const int inner = node.children[0];
    if (node.most < 0) {
      const int loop = state({Pattern::Kind::kSplit, -1, next});
      const int body = emit(inner, loop);
      if (!why_.empty()) return 0;
      pattern_.states_[loop].next = body;
      next = loop;
    } else {
      const int end = next;
      for (int i = node.least; i < node.most && why_.empty(); ++i) {
        next = state({Pattern::Kind::kSplit, emit(inner, next), end});
      }
    }
    for (int i = 0; i < node.least && why_.empty(); ++i) next = emit(inner, next);
    return next;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string why_;
  std::size_t visits_ = 0;
  std::vector<Node> nodes_;
  Pattern pattern_;
};

std::optional<Pattern> Pattern::compile(std::string_view text, std::string& why) {
  return PatternCompiler(text).compile(why);
}

bool Pattern::passes(Kind kind, std::string_view text, std::size_t at) const {
  if (kind == Kind::kBegin) return at == 0;
  if (kind == Kind::kEnd) return at == text.size();
  const bool before = at > 0 && is_word(static_cast<unsigned char>(text[at - 1]));
  const bool after = at < text.size() && is_word(static_cast<unsigned char>(text[at]));
  return (before != after) == (kind == Kind::kBoundary);
}

bool Pattern::matches(std::string_view text) const {
  std::vector<int> now;
  std::vector<int> reached = {start_};
  std::vector<std::size_t> seen(states_.size(), text.size() + 1);  // at which position, last
  for (std::size_t at = 0;; ++at) {
    now.clear();
    bool accepted = false;
    while (!reached.empty()) {
      const int index = reached.back();
      reached.pop_back();
      if (seen[index] == at) continue;
      seen[index] = at;
      const State& state = states_[index];
      if (state.kind == Kind::kBytes) {
        now.push_back(index);
      } else if (state.kind == Kind::kMatch) {
        accepted = true;
      } else if (state.kind == Kind::kSplit) {
        reached.push_back(state.next);
        reached.push_back(state.other);
      } else if (passes(state.kind, text, at)) {
        reached.push_back(state.next);
      }
    }
    if (at == text.size()) return accepted;
    for (const int index : now) {
      if (sets_[states_[index].bytes][static_cast<unsigned char>(text[at])]) {
        reached.push_back(states_[index].next);
      }
    }
    if (reached.empty()) return false;
  }
}

}  // namespace sterna
