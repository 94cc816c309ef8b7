#include "model/attention.h"

#include <algorithm>
#include <cmath>

namespace sterna {

namespace {

// Tiles of more queries are not cut: their states would fill the caches, and there are many of
// them.
constexpr int kMostQueriesOfCutTile = 16;

}  // namespace

Attention::Attention(const ModelConfig& config, const Kernels& kernels, bool tiles)
    : kernels_(kernels),
      kv_heads_(config.kv_heads),
      group_(config.heads / config.kv_heads),
      head_dim_(config.head_dim),
      tiled_(tiles) {}

void Attention::plan(const std::vector<BatchRow>& rows, int workers) {
  make_tiles(rows);
  work_ = 0.0;
  for (const Tile& tile : tiles_) {
    for (int chunk = 0; chunk < chunks(tile); ++chunk) work_ += kv_heads_ * cost(tile, chunk);
  }
  workers_ = workers;
  shares_.resize(workers);
  for (auto& share : shares_) share.clear();
  cut_.clear();
  parts_size_ = 0;
  done_ = 0.0;
  // The tiles of a sequence pass one after the other over the same head: its keys and values stay
  // in the cache that the cores share.
  const int count = static_cast<int>(tiles_.size());
  for (int first = 0, end = 0; first < count; first = end) {
    while (end < count && tiles_[end].block_table == tiles_[first].block_table) ++end;
    for (int kv_head = 0; kv_head < kv_heads_; ++kv_head) {
      for (int tile = first; tile < end; ++tile) add_pieces(tile, kv_head);
    }
  }
  if (parts_.size() < parts_size_) parts_.resize(parts_size_);
}

void Attention::make_tiles(const std::vector<BatchRow>& rows) {
  const int most = tiled_ ? std::max(1, kMaxAttentionQueries / group_) : 1;
  tiles_.clear();
  for (int i = 0; i < static_cast<int>(rows.size()); ++i) {
    const BatchRow& row = rows[i];
    if (!tiles_.empty()) {
      Tile& last = tiles_.back();
      if (last.block_table == row.block_table && last.length + last.rows == row.position + 1 &&
          last.rows < most) {
        ++last.rows;
        continue;
      }
    }
    tiles_.push_back({i, 1, row.position + 1, row.block_table});
  }
}

int Attention::chunks(const Tile& tile) const {
  return (tile.length + tile.rows - 2) / kAttentionChunk + 1;
}

double Attention::cost(const Tile& tile, int chunk) const {
  const int positions =
      std::min(kAttentionChunk, tile.length + tile.rows - 1 - chunk * kAttentionChunk);
  return 2.0 * positions * tile.rows * group_ * head_dim_;
}

// Gives each chunk to the worker in whose part of the line its middle lies.
void Attention::add_pieces(int tile, int kv_head) {
  const Tile& t = tiles_[tile];
  const int count = chunks(t);
  const auto worker_at = [&](double place) {
    return std::min(workers_ - 1, static_cast<int>(place / work_ * workers_));
  };
  double total = 0.0;
  for (int chunk = 0; chunk < count; ++chunk) total += cost(t, chunk);
  const int first = worker_at(done_ + cost(t, 0) / 2);
  const int last = worker_at(done_ + total - cost(t, count - 1) / 2);
  if (first == last || !tiled_ || t.rows * group_ > kMostQueriesOfCutTile) {
    shares_[worker_at(done_ + total / 2)].push_back({tile, kv_head, 0, count, false, 0});
    done_ += total;
    return;
  }
  const std::size_t states = t.rows * group_ * attention_state_size(head_dim_);
  for (int begin = 0, end = 0; begin < count; begin = end) {
    const int worker = worker_at(done_ + cost(t, begin) / 2);
    while (end < count && worker_at(done_ + cost(t, end) / 2) == worker) done_ += cost(t, end++);
    const Piece piece{tile, kv_head, begin, end, true, parts_size_};
    parts_size_ += begin == 0 ? states : (end - begin) * states;
    shares_[worker].push_back(piece);
    cut_.push_back(piece);
  }
}

AttentionArgs Attention::args(const Piece& piece, const AttentionLayer& layer) const {
  const Tile& tile = tiles_[piece.tile];
  AttentionArgs args;
  args.row_stride = static_cast<std::size_t>(kv_heads_) * group_ * head_dim_;
  const std::size_t at = tile.first_row * args.row_stride +
                         static_cast<std::size_t>(piece.kv_head) * group_ * head_dim_;
  args.query = layer.query + at;
  args.rows = tile.rows;
  args.group = group_;
  args.head_dim = head_dim_;
  args.length = tile.length;
  args.scale = 1.0f / std::sqrt(static_cast<float>(head_dim_));
  args.type = layer.cache->type;
  args.cache = layer.cache->head(layer.layer, piece.kv_head);
  args.block_stride = layer.cache->block_stride();
  args.block_table = tile.block_table;
  args.out = layer.out + at;
  args.chunk_begin = piece.chunk_begin;
  args.chunk_end = piece.chunk_end;
  return args;
}

void Attention::attend(const Piece& piece, const AttentionLayer& layer) {
  AttentionArgs a = args(piece, layer);
  if (piece.cut) a.parts = parts_.data() + piece.parts;
  kernels_.attention(a);
}

void Attention::join(int worker, int size, const AttentionLayer& layer) {
  float* states = nullptr;
  int cut = -1;  // number of the tile and KV head among those that were cut
  for (const Piece& piece : cut_) {
    if (piece.chunk_begin == 0) ++cut;
    if (cut % size != worker) continue;
    const AttentionArgs a = args(piece, layer);
    float* parts = parts_.data() + piece.parts;
    if (piece.chunk_begin == 0) {
      states = parts;
    } else {
      kernels_.attention_join(a, states, parts);
    }
    if (piece.chunk_end == chunks(tiles_[piece.tile])) kernels_.attention_finish(a, states);
  }
}

}  // namespace sterna
