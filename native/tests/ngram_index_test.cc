#include "runtime/ngram_index.h"

#include <random>
#include <vector>

#include "check.h"

using namespace sterna;

namespace {

using Tokens = std::vector<TokenId>;

NgramIndex index_of(const Tokens& tokens, int begin, int end) {
  NgramIndex index(begin);
  index.extend(tokens, end);
  return index;
}

// The longest match among all places, by trying each.
NgramMatch search_all(const Tokens& tokens) {
  NgramMatch best;
  const int size = static_cast<int>(tokens.size());
  for (int position = size - 1; position > 0; --position) {
    int length = 0;
    while (length < position && length < kLongestNgram &&
           tokens[position - 1 - length] == tokens[size - 1 - length]) {
      ++length;
    }
    if (length >= kShortestNgram && length > best.length) best = {position, length};
  }
  return best;
}

}  // namespace

TEST(places_of_a_pair_come_latest_first) {
  const Tokens tokens = {1, 2, 9, 1, 2, 8, 1, 2};
  const NgramIndex index = index_of(tokens, 0, 8);
  CHECK_EQ(index.latest(1, 2), 5);
  CHECK_EQ(index.older(5), 2);
  CHECK_EQ(index.older(2), -1);
  CHECK_EQ(index.latest(2, 1), -1);
  CHECK_EQ(NgramIndex(0).latest(1, 2), -1);
}

TEST(two_indexes_share_a_sequence) {
  const Tokens tokens = {1, 2, 3, 1, 2, 4, 1, 2};
  const NgramIndex earlier = index_of(tokens, 0, 4);
  const NgramIndex recent = index_of(tokens, 4, 8);
  CHECK_EQ(earlier.latest(1, 2), 2);
  CHECK_EQ(recent.latest(1, 2), 5);
  CHECK_EQ(recent.older(5), -1);
  const NgramMatch match = find_ngram(tokens, recent, earlier, -1);
  CHECK_EQ(match.position, 5);
  CHECK_EQ(match.length, 2);
}

TEST(the_longest_match_wins_and_then_the_latest) {
  //                     0  1  2  3  4  5  6  7  8  9 10
  const Tokens tokens = {7, 1, 2, 5, 9, 1, 2, 6, 7, 1, 2};
  const NgramMatch match = find_ngram(tokens, index_of(tokens, 0, 11), NgramIndex(0), -1);
  CHECK_EQ(match.position, 3);
  CHECK_EQ(match.length, 3);
}

TEST(a_hint_is_only_a_hint) {
  const Tokens tokens = {1, 2, 3, 4, 1, 2};
  const NgramIndex index = index_of(tokens, 0, 6);
  for (const int hint : {-1, 0, 3, 5, 6, 100}) {
    CHECK_EQ(find_ngram(tokens, index, NgramIndex(0), hint).position, 2);
  }
  CHECK_EQ(find_ngram(tokens, NgramIndex(0), NgramIndex(0), 2).position, 2);
}

TEST(short_and_new_texts_match_nothing) {
  for (const Tokens& tokens : {Tokens{}, Tokens{1}, Tokens{1, 1}, Tokens{1, 2, 3, 4}}) {
    const NgramIndex index = index_of(tokens, 0, static_cast<int>(tokens.size()));
    CHECK_EQ(find_ngram(tokens, index, NgramIndex(0), -1).position, -1);
  }
}

TEST(growing_texts_match_like_a_search_of_all_places) {
  std::mt19937 random(1);
  // A pair may have more places than are looked at: then a shorter match may be all that is found.
  Tokens tokens;
  NgramIndex earlier(0);
  NgramIndex recent(500);
  for (int i = 0; i < 3000; ++i) {
    const bool copy = i > 100 && random() % 10 != 0;
    tokens.push_back(copy ? tokens[tokens.size() - 60 - random() % 3]
                          : static_cast<TokenId>(random() % 100000));
    if (i < 500) continue;
    if (i == 500) earlier.extend(tokens, 500);
    recent.extend(tokens, static_cast<int>(tokens.size()));
    const NgramMatch expected = search_all(tokens);
    const NgramMatch found = find_ngram(tokens, recent, earlier, -1);
    CHECK(found.length <= expected.length);
    if (found.length == expected.length) CHECK_EQ(found.position, expected.position);
    CHECK_EQ(found.length >= kShortestNgram, expected.length >= kShortestNgram);
  }
}
