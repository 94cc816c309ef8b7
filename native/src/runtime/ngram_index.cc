#include "runtime/ngram_index.h"

#include <algorithm>

namespace sterna {

namespace {

constexpr int kPlaces = 16;  // of one pair, looked at in each index
constexpr std::size_t kFirstSlots = 64;

std::uint64_t pair_of(TokenId first, TokenId second) {
  return std::uint64_t{static_cast<std::uint32_t>(first)} << 32 |
         static_cast<std::uint32_t>(second);
}

// How many tokens before `position` are those at the end.
int match_length(const std::vector<TokenId>& tokens, int position) {
  const TokenId* a = tokens.data() + position;
  const TokenId* b = tokens.data() + tokens.size();
  const int most = std::min(position, kLongestNgram);
  int length = 0;
  while (length < most && a[-1 - length] == b[-1 - length]) ++length;
  return length;
}

}  // namespace

void NgramIndex::extend(const std::vector<TokenId>& tokens, int end) {
  if (end <= end_) return;
  older_.reserve(end - begin_);
  for (; end_ < end; ++end_) {
    if (2 * (used_ + 1) > slots_.size()) grow();
    const std::uint64_t pair = pair_of(tokens[end_ - 2], tokens[end_ - 1]);
    Slot& slot = slots_[slot_of(pair)];
    if (slot.latest < 0) {
      slot.pair = pair;
      ++used_;
    }
    older_.push_back(slot.latest);
    slot.latest = end_;
  }
}

int NgramIndex::latest(TokenId first, TokenId second) const {
  return slots_.empty() ? -1 : slots_[slot_of(pair_of(first, second))].latest;
}

std::size_t NgramIndex::slot_of(std::uint64_t pair) const {
  // Multiplicative hashing: the upper bits of the product depend on all bits of the pair.
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = static_cast<std::size_t>(pair * 0x9E3779B97F4A7C15u >> 32) & mask;
  while (slots_[at].latest >= 0 && slots_[at].pair != pair) at = (at + 1) & mask;
  return at;
}

void NgramIndex::grow() {
  std::vector<Slot> before(std::max(kFirstSlots, 2 * slots_.size()));
  before.swap(slots_);
  for (const Slot& slot : before) {
    if (slot.latest >= 0) slots_[slot_of(slot.pair)] = slot;
  }
}

NgramMatch find_ngram(const std::vector<TokenId>& tokens, const NgramIndex& recent,
                      const NgramIndex& earlier, int hint) {
  NgramMatch best;
  const int size = static_cast<int>(tokens.size());
  if (size < kShortestNgram) return best;
  const auto consider = [&](int position) {
    const int length = match_length(tokens, position);
    if (length >= kShortestNgram && length > best.length) best = {position, length};
    return best.length < kLongestNgram;
  };
  if (hint >= 0 && hint < size && !consider(hint)) return best;
  for (const NgramIndex* index : {&recent, &earlier}) {
    int position = index->latest(tokens[size - 2], tokens[size - 1]);
    for (int place = 0; place < kPlaces && position >= 0; ++place) {
      if (position < size && !consider(position)) return best;
      position = index->older(position);
    }
  }
  return best;
}

}  // namespace sterna
