// Speed of the output head of a bundle: every logit, the screening, and the rows that are scored
// again. States are random, as long as those behind a norm.
//
//   head_bench BUNDLE [THREADS] [REPEATS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "model/output_head.h"
#include "sterna/error.h"

namespace sterna::bench {
namespace {

// Median wall-clock seconds of `repeats` calls, after one to warm up.
template <typename Call>
double seconds(int repeats, Call call) {
  std::vector<double> times;
  for (int i = 0; i <= repeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    call();
    times.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::sort(times.begin() + 1, times.end());
  return times[1 + repeats / 2];
}

void run(const char* path, int threads, int repeats) {
  const LoadedModel model(Bundle::open(path));
  const ModelConfig& config = model.config();
  ThreadPool pool(threads);
  constexpr int kMostStates = 16;
  OutputHead head(model, select_kernels(), pool, kMostStates);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(kMostStates) * config.hidden_size);
  for (float& value : values) value = normal(random);
  std::vector<float> out(static_cast<std::size_t>(kMostStates) * config.vocab_size);
  std::printf("%s, %d threads\n", select_kernels().name, threads);
  for (const int count : {1, 2, 4, 8, 16}) {
    std::vector<const float*> states;
    for (int i = 0; i < count; ++i) {
      states.push_back(values.data() + static_cast<std::size_t>(i) * config.hidden_size);
    }
    const double full = seconds(repeats, [&] { head.logits(states, out.data()); });
    std::printf("states %2d  all logits %7.2f ms", count, full * 1e3);
    if (head.can_screen()) {
      std::vector<ScreenedLogits> screened;
      const double screen = seconds(repeats, [&] { screened = head.screen(states, out.data()); });
      std::vector<TokenId> rows;
      const auto select = [&] {
        const ScreenedLogits& first = screened[0];
        float best = first.lower(0);
        for (int t = 1; t < first.tokens; ++t) best = std::max(best, first.lower(t));
        rows.clear();
        for (int t = 0; t < first.tokens; ++t) {
          if (first.upper(t) >= best) rows.push_back(t);
        }
      };
      const double selecting = seconds(repeats, select);
      std::vector<float> scores(rows.size());
      const double exact = seconds(repeats, [&] { head.exact(states[0], rows, scores.data()); });
      std::printf("  screen %7.2f ms  select %5.3f ms  %zu candidates %5.3f ms", screen * 1e3,
                  selecting * 1e3, rows.size(), exact * 1e3);
    }
    std::printf("\n");
  }
}

}  // namespace
}  // namespace sterna::bench

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s BUNDLE [THREADS] [REPEATS]\n", argv[0]);
    return 2;
  }
  try {
    sterna::bench::run(argv[1], argc > 2 ? std::atoi(argv[2]) : 1,
                       argc > 3 ? std::atoi(argv[3]) : 7);
  } catch (const sterna::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
