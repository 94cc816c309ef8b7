// Where a sequence said the same before: the index behind prompt-lookup speculation (Saxena,
// "Prompt lookup decoding", 2023).
#pragma once

#include <cstdint>
#include <vector>

#include "sterna/request.h"

namespace sterna {

// Remembers for every pair of neighbouring tokens where it ended, the latest first. Each token is
// indexed once; a look-up walks the places of one pair. The tokens themselves are not kept.
class NgramIndex {
 public:
  // Indexes the pairs that end before position `begin` or later; the first possible is 2.
  explicit NgramIndex(int begin) : begin_(begin < 2 ? 2 : begin), end_(begin_) {}

  // Indexes the pairs that end before the positions up to and without `end`. The tokens that were
  // indexed before must not have changed.
  void extend(const std::vector<TokenId>& tokens, int end);

  // The latest position whose two tokens before it are `first` and `second`; -1 if there is none.
  int latest(TokenId first, TokenId second) const;
  // The next older such position; -1 at the end.
  int older(int position) const { return older_[position - begin_]; }

 private:
  struct Slot {
    std::uint64_t pair;
    std::int32_t latest = -1;  // free while negative
  };

  std::size_t slot_of(std::uint64_t pair) const;
  void grow();

  int begin_;
  int end_;
  std::vector<std::int32_t> older_;  // by position - begin_
  std::vector<Slot> slots_;          // open addressing; a power of two, at most half full
  std::size_t used_ = 0;
};

// A place where the tokens before it are those at the end.
struct NgramMatch {
  int position = -1;  // of the token that followed; -1: none
  int length = 0;     // of the equal run before it, up to kLongestNgram
};

constexpr int kShortestNgram = 2;
constexpr int kLongestNgram = 32;

// The longest match of the end of `tokens`, the latest among equals. Looks at some of the latest
// places that each index knows, `recent` first, and at `hint` (-1: none).
NgramMatch find_ngram(const std::vector<TokenId>& tokens, const NgramIndex& recent,
                      const NgramIndex& earlier, int hint);

}  // namespace sterna
