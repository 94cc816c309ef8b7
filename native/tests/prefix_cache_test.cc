#include "runtime/prefix_cache.h"

#include <map>
#include <random>
#include <vector>

#include "check.h"

using sterna::BlockId;
using sterna::kKvBlockTokens;
using sterna::PrefixCache;
using sterna::TokenId;

namespace {

using Tokens = std::vector<TokenId>;

Tokens repeat(std::initializer_list<int> per_block) {
  Tokens tokens;
  for (const int value : per_block) tokens.insert(tokens.end(), kKvBlockTokens, value);
  return tokens;
}

// What a sequence does: match, allocate the rest, publish the full blocks.
std::vector<BlockId> take(PrefixCache& cache, const Tokens& tokens, int* matched = nullptr) {
  std::vector<BlockId> blocks = cache.match(tokens, static_cast<int>(tokens.size()));
  if (matched != nullptr) *matched = static_cast<int>(blocks.size());
  const int full = static_cast<int>(tokens.size()) / kKvBlockTokens;
  for (int i = static_cast<int>(blocks.size()); i < full; ++i) {
    blocks.push_back(cache.allocate());
    cache.publish(blocks, i, tokens);
  }
  return blocks;
}

}  // namespace

TEST(shared_prefixes_share_blocks) {
  PrefixCache cache(16, true);
  const auto a = take(cache, repeat({1, 2, 3}));
  int matched = 0;
  const auto b = take(cache, repeat({1, 2, 4}), &matched);
  CHECK_EQ(matched, 2);
  CHECK_EQ(a[0], b[0]);
  CHECK_EQ(a[1], b[1]);
  CHECK(a[2] != b[2]);
  CHECK_EQ(cache.used(), 4);
  cache.release(a);
  CHECK_EQ(cache.used(), 3);
  cache.release(b);
  CHECK_EQ(cache.used(), 0);
  CHECK_EQ(cache.cached(), 4);
}

TEST(only_whole_blocks_within_the_limit_match) {
  PrefixCache cache(16, true);
  const Tokens tokens = repeat({1, 2, 3});
  cache.release(take(cache, tokens));
  for (const auto& [limit, expected] :
       std::map<int, std::size_t>{{0, 0}, {15, 0}, {16, 1}, {47, 2}, {48, 3}}) {
    const auto blocks = cache.match(tokens, limit);
    CHECK_EQ(blocks.size(), expected);
    cache.release(blocks);
  }
}

TEST(the_same_middle_after_another_start_is_not_shared) {
  PrefixCache cache(16, true);
  cache.release(take(cache, repeat({1, 7})));
  int matched = -1;
  cache.release(take(cache, repeat({2, 7}), &matched));
  CHECK_EQ(matched, 0);
}

TEST(publishing_a_known_prefix_swaps_to_it) {
  PrefixCache cache(8, true);
  const Tokens tokens = repeat({5});
  std::vector<BlockId> a = {cache.allocate()}, b = {cache.allocate()};
  cache.publish(a, 0, tokens);
  cache.publish(b, 0, tokens);
  CHECK_EQ(a[0], b[0]);
  CHECK_EQ(cache.used(), 1);
}

TEST(the_least_recently_used_goes_first) {
  PrefixCache cache(3, true);
  cache.release(take(cache, repeat({1})));
  cache.release(take(cache, repeat({2})));
  cache.release(take(cache, repeat({3})));
  cache.release(cache.match(repeat({1}), 16));  // 1 is fresh again
  cache.release({cache.allocate()});
  int matched = 0;
  cache.release(take(cache, repeat({1}), &matched));
  CHECK_EQ(matched, 1);
  const auto two = cache.match(repeat({2}), 16);
  CHECK_EQ(two.size(), std::size_t{0});
}

TEST(blocks_in_use_are_never_evicted) {
  PrefixCache cache(2, true);
  const auto a = take(cache, repeat({1, 2}));
  CHECK_EQ(cache.allocate(), -1);
  cache.release(a);
  CHECK(cache.allocate() >= 0);
}

TEST(disabled_keeps_nothing) {
  PrefixCache cache(4, false);
  cache.release(take(cache, repeat({1, 2})));
  CHECK_EQ(cache.cached(), 0);
  CHECK_EQ(cache.match(repeat({1, 2}), 32).size(), std::size_t{0});
}

TEST(a_very_deep_prefix_is_destroyed_without_recursion) {
  const int depth = 100000;
  PrefixCache cache(depth, true);
  Tokens tokens(static_cast<std::size_t>(depth) * kKvBlockTokens, 1);
  cache.release(take(cache, tokens));
  CHECK_EQ(cache.cached(), depth);
}

// A prefix that is asked for again and again outlives any number of prompts that nobody repeats, as
// long as fewer of their blocks come between two uses than the cache has room for.
TEST(hot_prefixes_survive_floods) {
  PrefixCache cache(64, true);
  const Tokens hot = repeat({1, 2, 3, 4, 5, 6, 7, 8});
  cache.release(take(cache, hot));
  TokenId fresh = 100;
  for (int round = 0; round < 200; ++round) {
    for (int flood = 0; flood < 6; ++flood, ++fresh) {  // 48 blocks
      cache.release(take(cache, repeat({fresh, 2, 3, 4, 5, 6, 7, 8})));
    }
    int matched = 0;
    cache.release(take(cache, hot, &matched));
    CHECK_EQ(matched, 8);
    CHECK_EQ(cache.used(), 0);
    CHECK(cache.available() == cache.total());
  }
  // A flood of more than the cache holds takes the whole of it.
  for (int flood = 0; flood < 8; ++flood, ++fresh) {
    cache.release(take(cache, repeat({fresh, 2, 3, 4, 5, 6, 7, 8})));
  }
  int matched = -1;
  cache.release(take(cache, hot, &matched));
  CHECK_EQ(matched, 0);
}

// Pressure takes a prefix from its end: what remains is found.
TEST(a_prefix_shrinks_from_its_end) {
  PrefixCache cache(8, true);
  const Tokens tokens = repeat({1, 2, 3, 4, 5, 6});
  cache.release(take(cache, tokens));
  std::vector<BlockId> taken;
  for (int left = 6; left > 0; --left) {
    CHECK_EQ(cache.cached(), left);
    const std::vector<BlockId> found = cache.match(tokens, static_cast<int>(tokens.size()));
    CHECK_EQ(static_cast<int>(found.size()), left);
    cache.release(found);
    while (cache.cached() == left) taken.push_back(cache.allocate());
  }
  cache.release(taken);
  CHECK_EQ(cache.available(), cache.total());
  for (int i = 0; i < cache.total(); ++i) CHECK(cache.allocate() >= 0);  // none was lost
  CHECK_EQ(cache.allocate(), -1);
}

// Random lives of sequences: every block is accounted for, and what a match returns was
// published for exactly these tokens and not handed out since.
TEST(random_sequences_keep_the_books) {
  std::mt19937 random(42);
  PrefixCache cache(24, true);
  std::map<BlockId, Tokens> contents;  // the prefix that each block was filled for
  std::vector<std::vector<BlockId>> live;
  for (int step = 0; step < 20000; ++step) {
    if (live.size() < 5 && random() % 2 == 0) {
      Tokens tokens;
      const int length = 1 + random() % 5;
      for (int i = 0; i < length; ++i) tokens.insert(tokens.end(), kKvBlockTokens, random() % 2);
      auto blocks = cache.match(tokens, static_cast<int>(tokens.size()));
      for (std::size_t i = 0; i < blocks.size(); ++i) {
        const Tokens prefix(tokens.begin(), tokens.begin() + (i + 1) * kKvBlockTokens);
        CHECK(contents[blocks[i]] == prefix);
      }
      for (int i = static_cast<int>(blocks.size()); i < length; ++i) {
        const BlockId block = cache.allocate();
        if (block < 0) break;
        blocks.push_back(block);
        contents[block] = Tokens(tokens.begin(), tokens.begin() + (i + 1) * kKvBlockTokens);
        cache.publish(blocks, i, tokens);
        CHECK(contents[blocks[i]] == contents[block]);
      }
      live.push_back(std::move(blocks));
    } else if (!live.empty()) {
      const std::size_t victim = random() % live.size();
      cache.release(live[victim]);
      live.erase(live.begin() + victim);
    }
    CHECK(cache.used() + cache.available() == 24);
  }
  for (const auto& blocks : live) cache.release(blocks);
  CHECK_EQ(cache.used(), 0);
  CHECK_EQ(cache.available(), 24);
}
