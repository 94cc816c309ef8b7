// The public engine: a command queue in, an outbox out, and the thread between them.
#include "sterna/engine.h"

#include <algorithm>
#include <condition_variable>
#include <iterator>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "base/cpu_budget.h"
#include "base/start_thread.h"
#include "runtime/generator.h"
#include "runtime/outbox.h"
#include "runtime/validation.h"

namespace sterna {

namespace {

// What callers asked for since the last step.
struct Commands {
  struct Guide {
    std::uint64_t request_id;
    int choice;
    TokenMask mask;
  };
  struct Cancel {
    std::uint64_t request_id;
    std::optional<int> choice;
  };
  std::vector<std::shared_ptr<LiveRequest>> submitted;
  std::vector<Guide> guides;
  std::vector<Cancel> cancelled;

  bool empty() const { return submitted.empty() && guides.empty() && cancelled.empty(); }
};

class ThreadedEngine final : public Engine {
 public:
  ThreadedEngine(std::shared_ptr<const LoadedModel> model, const EngineOptions& options)
      : model_(std::move(model)),
        options_(options),
        generator_(model_, select_kernels(), options_) {
    generator_.fill(stats_);
    thread_ = start_thread([this] { loop(); });
  }

  ~ThreadedEngine() override { stop(); }

  void stop() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    const std::lock_guard lock(join_mutex_);
    if (thread_.joinable()) thread_.join();
  }

  void submit(Request request) override {
    validate_request(request, model_->config(), options_);
    auto live = std::make_shared<LiveRequest>();
    live->submitted = Clock::now();
    live->request = std::move(request);
    live->adapter = static_cast<const LoadedAdapter*>(live->request.adapter.get());
    if (live->request.guided) live->masks.resize(live->request.choices);
    const Request& r = live->request;
    live->long_text = needs_long_factors(
        model_->config(), std::ssize(r.prompt) + std::int64_t{r.embedding ? 0 : r.max_tokens});
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) throw Error(ErrorCode::kShuttingDown, "the engine is shutting down");
      if (live_ids_.count(r.id) != 0) {
        throw Error(ErrorCode::kInvalidArgument,
                    "a request with id " + std::to_string(r.id) + " is still running", "id");
      }
      if (live_choices_ + r.choices > options_.max_batch + options_.max_queue) {
        throw Error(ErrorCode::kQueueFull, std::to_string(live_choices_) +
                                               " sequences are running or waiting, which is the "
                                               "limit; try again later");
      }
      live_choices_ += r.choices;
      live_ids_.emplace(r.id, r.choices);
      commands_.submitted.push_back(std::move(live));
    }
    wake_.notify_one();
  }

  void cancel(std::uint64_t request_id, std::optional<int> choice) override {
    {
      const std::lock_guard lock(mutex_);
      if (live_ids_.count(request_id) == 0) return;
      commands_.cancelled.push_back({request_id, choice});
    }
    wake_.notify_one();
  }

  void guide(std::uint64_t request_id, int choice, int index, std::vector<std::uint32_t> allowed,
             std::vector<TokenId> forced) override {
    validate_mask(allowed, model_->config());
    validate_forced(forced, model_->config());
    {
      const std::lock_guard lock(mutex_);
      if (live_ids_.count(request_id) == 0) return;
      commands_.guides.push_back(
          {request_id, choice, {index, std::move(forced), std::move(allowed)}});
    }
    wake_.notify_one();
  }

  int outbox_fd() const override { return outbox_.fd(); }
  std::vector<Event> drain_outbox() override { return outbox_.drain(); }
  const Model& model() const override { return *model_; }

  EngineStats stats() const override {
    const std::lock_guard lock(mutex_);
    EngineStats stats = stats_;
    stats.waiting += static_cast<int>(commands_.submitted.size());
    return stats;
  }

 private:
  void loop() {
    std::vector<Event> events;
    bool busy = false;
    for (;;) {
      Commands commands;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return busy || stopping_ || !commands_.empty(); });
        if (stopping_) break;
        std::swap(commands, commands_);
      }
      busy = advance(commands, events);
      publish(events);
    }
    {
      const std::lock_guard lock(mutex_);
      for (auto& live : commands_.submitted) generator_.add(std::move(live));
      commands_ = {};
    }
    generator_.cancel_all(events);
    publish(events);
  }

  bool advance(Commands& commands, std::vector<Event>& events) {
    try {
      for (auto& live : commands.submitted) generator_.add(std::move(live));
      for (auto& guide : commands.guides) {
        generator_.guide(guide.request_id, guide.choice, std::move(guide.mask));
      }
      for (const auto& cancel : commands.cancelled) {
        generator_.cancel(cancel.request_id, cancel.choice, events);
      }
      return generator_.step(events);
    } catch (const std::bad_alloc&) {
      fail_all("out of memory during generation", events);
    } catch (const std::exception& error) {
      fail_all(error.what(), events);
    }
    return false;
  }

  // Ends every request that the loop has taken, those included that never reached the generator.
  void fail_all(const std::string& message, std::vector<Event>& events) {
    generator_.drop_all();
    publish(events);  // what had happened before
    const std::lock_guard lock(mutex_);
    for (const auto& live_id : live_ids_) {
      const std::uint64_t id = live_id.first;
      const bool waits = std::any_of(commands_.submitted.begin(), commands_.submitted.end(),
                                     [&](const auto& live) { return live->request.id == id; });
      if (waits) continue;
      Event event;
      event.request_id = id;
      event.kind = EventKind::kFailed;
      event.error_code = ErrorCode::kInternal;
      event.error_message = message;
      events.push_back(std::move(event));
    }
  }

  void publish(std::vector<Event>& events) {
    {
      const std::lock_guard lock(mutex_);
      for (const Event& event : events) retire(event);
      generator_.fill(stats_);
    }
    outbox_.append(events);
  }

  // Forgets finished choices, so that their places in the queue are free again.
  void retire(const Event& event) {
    if (event.kind != EventKind::kFinished && event.kind != EventKind::kFailed) return;
    const auto live = live_ids_.find(event.request_id);
    if (live == live_ids_.end()) return;
    const int ended = event.kind == EventKind::kFailed ? live->second : 1;
    live_choices_ -= ended;
    live->second -= ended;
    if (live->second == 0) live_ids_.erase(live);
  }

  const std::shared_ptr<const LoadedModel> model_;
  const EngineOptions options_;
  Outbox outbox_;
  mutable std::mutex mutex_;  // guards everything down to stats_
  std::condition_variable wake_;
  bool stopping_ = false;
  Commands commands_;
  std::unordered_map<std::uint64_t, int> live_ids_;  // to the number of unfinished choices
  int live_choices_ = 0;
  EngineStats stats_;
  Generator generator_;  // used by thread_ only
  std::mutex join_mutex_;
  std::thread thread_;
};

EngineOptions with_defaults(EngineOptions options, const ModelConfig& config) {
  if (options.threads == 0) options.threads = cpu_budget();
  if (options.kv_cache_tokens == 0) {
    options.kv_cache_tokens = std::max(options.max_batch * 1024, config.context_length);
  }
  options.max_batch_tokens = std::max(options.max_batch_tokens, options.max_batch + 16);
  return options;
}

}  // namespace

std::unique_ptr<Engine> Engine::create(std::shared_ptr<const Model> model,
                                       const EngineOptions& options) {
  validate_options(options);
  auto loaded = std::dynamic_pointer_cast<const LoadedModel>(std::move(model));
  if (!loaded) throw Error(ErrorCode::kInvalidArgument, "the model was not made by Model::open");
  const EngineOptions complete = with_defaults(options, loaded->config());
  return std::make_unique<ThreadedEngine>(std::move(loaded), complete);
}

}  // namespace sterna
