// Attention of a batch: which rows pass over the cache together, and which worker does what.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/kernels.h"
#include "model/batch.h"
#include "ops/kv_layout.h"
#include "sterna/model.h"

namespace sterna {

// What attention reads and writes in one layer: query and out are [rows][heads * head_dim].
struct AttentionLayer {
  int layer;
  const KvLayout* cache;
  const float* query;
  float* out;
};

// Rows of one sequence that follow each other form tiles, which read keys and values once for all
// their rows. Workers get equal shares of the work, as a line of (sequence, KV head, tile): a cut
// may fall inside a long row, which is then computed in chunks and joined. As the kernels define
// results by chunks in any case, neither tiles nor cuts show in the bits.
class Attention {
 public:
  // Without `tiles`, every row passes alone and no row is cut: the plain way.
  Attention(const ModelConfig& config, const Kernels& kernels, bool tiles = true);

  // Plans a batch for `workers` workers: once for all layers. The rows' block tables must stay.
  void plan(const std::vector<BatchRow>& rows, int workers);

  // Whether several workers share a row and KV head: `join` is needed then.
  bool cuts() const { return !cut_.empty(); }

  // One worker's share of a layer. Calls before(kv_head) before it begins with a tile and KV head.
  template <typename Before>
  void run(int worker, const AttentionLayer& layer, Before before) {
    for (const Piece& piece : shares_[worker]) {
      before(piece.kv_head);
      attend(piece, layer);
    }
  }
  // One of `size` workers' share of joining what was cut: after every worker's `run`.
  void join(int worker, int size, const AttentionLayer& layer);

 private:
  struct Tile {
    int first_row;
    int rows;
    int length;  // of its first row
    const std::int32_t* block_table;
  };
  // Chunks of one tile and KV head. The pieces of a cut pair follow each other.
  struct Piece {
    int tile;
    int kv_head;
    int chunk_begin;
    int chunk_end;
    bool cut;           // its states go to parts_
    std::size_t parts;  // where there
  };

  void make_tiles(const std::vector<BatchRow>& rows);
  void add_pieces(int tile, int kv_head);
  void attend(const Piece& piece, const AttentionLayer& layer);
  AttentionArgs args(const Piece& piece, const AttentionLayer& layer) const;
  int chunks(const Tile& tile) const;
  double cost(const Tile& tile, int chunk) const;

  const Kernels& kernels_;
  const int kv_heads_;
  const int group_;
  const int head_dim_;
  const bool tiled_;
  double work_ = 0.0;
  int workers_ = 1;
  double done_ = 0.0;  // work before the next piece, while planning
  std::vector<Tile> tiles_;
  std::vector<std::vector<Piece>> shares_;  // by worker
  std::vector<Piece> cut_;                  // in order of tile, KV head and chunk
  std::vector<float> parts_;
  std::size_t parts_size_ = 0;
};

}  // namespace sterna
