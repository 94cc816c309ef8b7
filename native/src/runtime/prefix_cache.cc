#include "runtime/prefix_cache.h"

#include <algorithm>

namespace sterna {

PrefixCache::PrefixCache(int blocks, bool enabled) : enabled_(enabled), blocks_(blocks) {
  free_.reserve(blocks);
  for (BlockId block = blocks - 1; block >= 0; --block) free_.push_back(block);
}

// A prefix of a million tokens is a chain of nodes too deep to destroy recursively.
PrefixCache::~PrefixCache() {
  std::vector<std::unique_ptr<Node>> doomed;
  const auto take_children = [&doomed](Node& node) {
    for (auto& [key, child] : node.children) doomed.push_back(std::move(child));
    node.children.clear();
  };
  for (auto& [owner, root] : roots_) take_children(root);
  while (!doomed.empty()) {
    const std::unique_ptr<Node> node = std::move(doomed.back());
    doomed.pop_back();
    take_children(*node);
  }
}

PrefixCache::Key PrefixCache::key_at(const std::vector<TokenId>& tokens, int index) {
  Key key;
  std::copy_n(tokens.begin() + static_cast<std::ptrdiff_t>(index) * kKvBlockTokens, kKvBlockTokens,
              key.begin());
  return key;
}

std::vector<BlockId> PrefixCache::match(const std::vector<TokenId>& tokens, int limit,
                                        std::uint64_t owner) {
  std::vector<BlockId> found;
  const auto root = roots_.find(owner);
  if (root == roots_.end()) return found;
  Node* node = &root->second;
  for (int index = 0; (index + 1) * kKvBlockTokens <= limit; ++index) {
    const auto child = node->children.find(key_at(tokens, index));
    if (child == node->children.end()) break;
    node = child->second.get();
    reference(node->block);
    found.push_back(node->block);
  }
  return found;
}

BlockId PrefixCache::allocate() {
  if (free_.empty()) {
    if (cached_.empty()) return -1;
    const BlockId victim = cached_.front();
    cached_.pop_front();
    Node* node = blocks_[victim].node;
    blocks_[victim].node = nullptr;
    Node* parent = node->parent;
    parent->children.erase(Key(node->key));  // the key must outlive its node
    if (parent->parent == nullptr && parent->children.empty()) {
      roots_.erase(std::uint64_t{parent->owner});  // as must the owner
    }
    free_.push_back(victim);
  }
  const BlockId block = free_.back();
  free_.pop_back();
  blocks_[block].references = 1;
  return block;
}

PrefixCache::Node* PrefixCache::root_of(std::uint64_t owner) {
  Node& root = roots_[owner];
  root.owner = owner;
  return &root;
}

void PrefixCache::share(BlockId block) { reference(block); }

void PrefixCache::reference(BlockId block) {
  Block& state = blocks_[block];
  if (state.references++ == 0) cached_.erase(state.cached);
}

void PrefixCache::drop(BlockId block) {
  Block& state = blocks_[block];
  if (--state.references > 0) return;
  if (state.node != nullptr) {
    state.cached = cached_.insert(cached_.end(), block);
  } else {
    free_.push_back(block);
  }
}

void PrefixCache::release(const std::vector<BlockId>& blocks) {
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) drop(*block);
}

void PrefixCache::publish(std::vector<BlockId>& blocks, int index,
                          const std::vector<TokenId>& tokens, std::uint64_t owner) {
  if (!enabled_ || blocks_[blocks[index]].node != nullptr) return;
  Node* parent = index == 0 ? root_of(owner) : blocks_[blocks[index - 1]].node;
  const Key key = key_at(tokens, index);
  const auto known = parent->children.find(key);
  if (known != parent->children.end()) {
    const BlockId own = blocks[index];
    blocks[index] = known->second->block;
    reference(blocks[index]);
    drop(own);
    return;
  }
  auto node = std::make_unique<Node>();
  node->parent = parent;
  node->key = key;
  node->block = blocks[index];
  blocks_[blocks[index]].node = node.get();
  parent->children.emplace(key, std::move(node));
}

}  // namespace sterna
