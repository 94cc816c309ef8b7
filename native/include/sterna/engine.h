// The engine: continuous batching over one model, on threads of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sterna/event.h"
#include "sterna/kv_type.h"
#include "sterna/model.h"
#include "sterna/request.h"

namespace sterna {

// Whether the engine guesses tokens ahead, from what a sequence said before, and verifies several
// in one step. The answers are the same; only their speed changes.
enum class Speculation : std::uint8_t {
  kOff,
  kAuto,    // where it pays, by the measured cost of steps
  kAlways,  // wherever there is something to guess; for tests and measurements
};

struct EngineOptions {
  int threads = 0;             // 0: what the cgroup's quota and the affinity mask allow
  int max_batch = 16;          // sequences that run at the same time
  int max_queue = 64;          // requests that wait; one more is refused with kQueueFull
  int max_batch_tokens = 256;  // rows computed in one step; raised to max_batch + 16 if less
  int kv_cache_tokens = 0;  // capacity of the KV cache; 0: max_batch * 1024, at least one context
  KvType kv_cache_dtype = KvType::kBf16;
  bool prefix_cache = true;  // reuse the KV blocks of shared prefixes
  // Rows of a prompt share passes over the cache, and threads share long rows; off for
  // measurements.
  bool attention_tiles = true;
  Speculation speculation = Speculation::kAuto;
  int max_draft_tokens = 8;  // tokens guessed ahead of one sequence
  // Choose tokens from half of the bytes of an output head that was packed for it (PackOptions),
  // and score exactly only those that can still win. The answers are the same.
  bool exact_head_screening = true;
  bool sparsity = true;  // skip weights that the zeros of ReLU^2 make superfluous
};

struct EngineStats {
  std::string kernels;  // the instruction set in use
  int threads = 0;
  int running = 0;  // sequences in the batch
  int waiting = 0;  // requests in the queue
  KvType kv_cache_dtype = KvType::kBf16;
  std::int64_t kv_cache_bytes = 0;  // reserved; the system provides what has been used
  int kv_blocks_total = 0;
  int kv_blocks_used = 0;          // referenced by live sequences
  int kv_blocks_cached = 0;        // kept only for reuse
  std::int64_t prompt_tokens = 0;  // since start
  std::int64_t cached_tokens = 0;
  std::int64_t generated_tokens = 0;
  std::int64_t steps = 0;
  std::int64_t sequence_steps = 0;  // sequences computed, summed over the steps
  std::int64_t preemptions = 0;
  std::int64_t drafted_tokens = 0;   // guessed ahead
  std::int64_t accepted_tokens = 0;  // of these, part of an answer
  std::int64_t screened_states = 0;  // whose token was chosen by screening the output head
  std::int64_t rescored_tokens = 0;  // exact logits that took, all together
};

// Thread-safe: every method may be called concurrently with every other, except the destructor.
class Engine {
 public:
  static std::unique_ptr<Engine> create(std::shared_ptr<const Model> model,
                                        const EngineOptions& options);
  // Stops, and forgets events that nobody took.
  virtual ~Engine() = default;

  // Queues a request. Throws Error (kInvalidArgument, kContextLength, kQueueFull, kShuttingDown).
  virtual void submit(Request request) = 0;
  // Ends a request within one step; unknown and finished ids are ignored.
  // With a choice, only that one, and only once the request has started.
  virtual void cancel(std::uint64_t request_id, std::optional<int> choice = std::nullopt) = 0;

  // The tokens that a choice of a guided request may take at output position `index`: bit t % 32 of
  // word t / 32 allows token t. Every position needs one, the first may be given right after
  // submit; until it comes the choice keeps its place, and the others go on. The mask is worked out
  // while the model computes the position. Masks of other positions and of unknown requests are
  // ignored. `forced` are tokens without an alternative: they take the positions from `index` on,
  // in as few steps as they fit in, and the mask is that of the position behind them. They give the
  // answer that one mask for each of them, with that one bit, would give. Throws Error
  // (kInvalidArgument) when the mask has not one bit for each token or allows none, or a forced
  // token is not in the vocabulary.
  virtual void guide(std::uint64_t request_id, int choice, int index,
                     std::vector<std::uint32_t> allowed, std::vector<TokenId> forced = {}) = 0;

  // Ends the engine's thread at the next step. Live requests get kFinished with kCancelled, and
  // the outbox stays readable; submit throws kShuttingDown from now on. Idempotent.
  virtual void stop() = 0;

  // Readable (eventfd) while events wait. The engine never blocks on a slow reader.
  virtual int outbox_fd() const = 0;
  // Takes every waiting event and clears the descriptor.
  virtual std::vector<Event> drain_outbox() = 0;

  virtual EngineStats stats() const = 0;
  virtual const Model& model() const = 0;
};

}  // namespace sterna
