// The blocks of the KV cache: who uses them, and which hold a prefix worth keeping.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "kernels/kernels.h"
#include "sterna/request.h"

namespace sterna {

using BlockId = std::int32_t;

// Trees of full blocks, one for each `owner`, which is what computed the keys and values: an
// adapter, or the model alone. The path from the root to a node spells the tokens of a prefix, so
// two prompts of an owner share exactly their common blocks. A block is
//   in use    referenced by one or more sequences,
//   cached    in the tree and referenced by none: evicted least recently used first, or
//   free.
// A sequence that references a node references all its ancestors, and releases its blocks from
// the last to the first; hence the least recently used cached node is always a leaf.
class PrefixCache {
 public:
  // With `enabled` false no block is ever kept or shared.
  PrefixCache(int blocks, bool enabled);
  ~PrefixCache();

  int total() const { return static_cast<int>(blocks_.size()); }
  int available() const { return static_cast<int>(free_.size() + cached_.size()); }
  int cached() const { return static_cast<int>(cached_.size()); }
  int used() const { return total() - available(); }

  // References and returns the blocks of the owner's longest known prefix of tokens[0, limit).
  std::vector<BlockId> match(const std::vector<TokenId>& tokens, int limit,
                             std::uint64_t owner = 0);

  // A fresh block with one reference, evicting a cached one if need be; -1 when all are in use.
  BlockId allocate();

  // One more reference to a block that is in use.
  void share(BlockId block);

  // Drops one reference from each block, the last block first.
  void release(const std::vector<BlockId>& blocks);

  // Makes block number `index` of a sequence findable: it now holds the keys and values of
  // tokens[16 * index, 16 * (index + 1)), and the blocks before it are in the tree. When an equal
  // prefix is already known, blocks[index] becomes that one (their contents are equal, bit for
  // bit) and the sequence's own is freed.
  void publish(std::vector<BlockId>& blocks, int index, const std::vector<TokenId>& tokens,
               std::uint64_t owner = 0);

 private:
  using Key = std::array<TokenId, kKvBlockTokens>;
  struct Node {
    Node* parent = nullptr;   // null for a root
    std::uint64_t owner = 0;  // of a root
    Key key{};
    BlockId block = -1;
    std::map<Key, std::unique_ptr<Node>> children;
  };
  struct Block {
    int references = 0;
    Node* node = nullptr;                 // null when not in the tree
    std::list<BlockId>::iterator cached;  // valid while in the tree with no references
  };

  static Key key_at(const std::vector<TokenId>& tokens, int index);
  Node* root_of(std::uint64_t owner);
  void reference(BlockId block);
  void drop(BlockId block);

  const bool enabled_;
  std::map<std::uint64_t, Node> roots_;  // only those that have children
  std::vector<Block> blocks_;
  std::vector<BlockId> free_;
  std::list<BlockId> cached_;  // least recently used first
};

}  // namespace sterna
