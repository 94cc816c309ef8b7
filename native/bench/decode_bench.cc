// Speed of one forward pass and of the output head, against a plain read of the same bytes by the
// same threads in the same run. Reads and passes alternate, because what memory gives differs from
// one second to the next on a shared machine; the share is the median of the pairs.
//
//   decode_bench BUNDLE [--threads N] [--rows N] [--position N] [--rounds N] [--table NAME]
//   [--prompt] [--sparsity]
//
// Each row is the next token of a sequence of its own, or, with --prompt, all are one sequence.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "machine.h"
#include "model/transformer.h"
#include "runtime/scheduler.h"
#include "sterna/error.h"

namespace sterna::bench {
namespace {

struct Options {
  std::string bundle;
  std::string table;
  int threads = 1;
  int rows = 1;
  int position = 64;
  int rounds = 15;
  bool prompt = false;
  bool sparsity = false;
};

struct Span {
  const std::uint8_t* begin;
  std::size_t size;
};

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <typename Call>
double timed(Call call) {
  const double begin = wall_seconds();
  call();
  return wall_seconds() - begin;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Without the scales of groups, which are a sixteenth of it at most.
Span span_of(const TernaryMatrix& w) {
  return {w.tiles, static_cast<std::size_t>(w.row_tiles()) * w.col_blocks() * kTileBytes};
}

std::vector<Span> ternary_spans(const LoadedModel& model) {
  std::vector<Span> spans;
  for (int i = 0; i < model.layer_count(); ++i) {
    const LayerWeights& w = model.layer(i);
    for (const auto* matrix : {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down}) {
      spans.push_back(span_of(*matrix));
    }
  }
  return spans;
}

// What choosing a token reads of the head: a head in halves is screened by its high one.
std::vector<Span> head_spans(const LoadedModel& model) {
  if (const SplitMatrix* split = model.split_head(); split != nullptr) {
    return {{split->high, static_cast<std::size_t>(split->rows) * split->stride}};
  }
  if (model.ternary_head() != nullptr) return {span_of(*model.ternary_head())};
  if (const QuantizedMatrix* head = model.quantized_head(); head != nullptr) {
    return {{head->data, static_cast<std::size_t>(head->rows) * head->layout().row_bytes}};
  }
  const DenseMatrix& head = *model.head();
  const bool bf16 = head.bf16 != nullptr;
  const void* data = bf16 ? static_cast<const void*>(head.bf16) : head.f32;
  const std::size_t size = static_cast<std::size_t>(head.rows) * head.cols * (bf16 ? 2 : 4);
  return {{static_cast<const std::uint8_t*>(data), size}};
}

// Every thread reads its share of every span, in the order in which a pass would.
void read_spans(ThreadPool& pool, const std::vector<Span>& spans) {
  pool.run([&](int worker) {
    for (const Span& span : spans) {
      const std::size_t pairs = span.size / 128;  // of lines, as read_memory asks
      const std::size_t begin = pairs * worker / pool.size() * 128;
      const std::size_t end = pairs * (worker + 1) / pool.size() * 128;
      read_memory(span.begin + begin, end - begin);
    }
  });
}

struct Sample {
  double read;
  double work;
};

void print_samples(const char* what, const std::vector<Sample>& samples, double bytes, int rows) {
  std::vector<double> reads;
  std::vector<double> works;
  std::vector<double> shares;
  for (const Sample& sample : samples) {
    reads.push_back(sample.read);
    works.push_back(sample.work);
    shares.push_back(sample.read / sample.work);
  }
  std::printf("%-8s %5d %9.2f %9.2f %9.1f %9.1f %7.0f %% %9.1f\n", what, rows, median(works) * 1e3,
              *std::min_element(works.begin(), works.end()) * 1e3, bytes / median(works) * 1e-9,
              bytes / median(reads) * 1e-9, median(shares) * 100.0, rows / median(works));
}

void compute_head(OutputHead& head, const std::vector<const float*>& states, float* logits) {
  if (head.can_screen()) {
    head.screen(states, logits);
  } else {
    head.logits(states, logits);
  }
}

const Kernels& choose(const std::string& name) {
  for (const Kernels* table : available_kernels()) {
    if (name.empty() || name == table->name) return *table;
  }
  std::fprintf(stderr, "decode_bench: no kernels named %s on this host\n", name.c_str());
  std::exit(2);
}

void run(const Options& options) {
  const auto model = std::dynamic_pointer_cast<const LoadedModel>(Model::open(options.bundle));
  const ModelConfig& config = model->config();
  const Kernels& kernels = choose(options.table);
  ThreadPool pool(options.threads);
  Transformer transformer(model, kernels, pool, options.rows, true, options.sparsity);
  SchedulerLimits limits;
  const int last = options.position + (options.prompt ? options.rows - 1 : 0);
  const int blocks = last / kKvBlockTokens + 1;
  limits.kv_blocks = blocks * (options.prompt ? 1 : options.rows);
  Scheduler scheduler(config, limits);
  std::vector<std::int32_t> tables(static_cast<std::size_t>(limits.kv_blocks));
  for (std::size_t i = 0; i < tables.size(); ++i) tables[i] = static_cast<std::int32_t>(i);
  std::vector<BatchRow> rows;
  for (int i = 0; i < options.rows; ++i) {
    const std::size_t sequence = options.prompt ? 0 : i;
    rows.push_back({(7919 * (i + 1)) % config.vocab_size,
                    options.position + (options.prompt ? i : 0),
                    tables.data() + sequence * blocks});
  }
  std::vector<float> logits(static_cast<std::size_t>(options.rows) * config.vocab_size);
  std::vector<const float*> states;
  const int drawn = options.prompt ? 1 : options.rows;  // only a prompt's last row has a successor
  for (int i = 0; i < drawn; ++i) states.push_back(transformer.hidden(options.rows - 1 - i));

  // A step of one row copies one layer's weights.
  const std::vector<BatchRow> one(rows.begin(), rows.begin() + 1);
  for (int i = 0; options.sparsity && i < config.layers; ++i) {
    transformer.forward(one, scheduler.kv());
  }

  const std::vector<Span> ternary = ternary_spans(*model);
  const std::vector<Span> head = head_spans(*model);
  std::vector<Sample> passes;
  std::vector<Sample> heads;
  std::vector<Sample> tokens;
  for (int round = 0; round <= options.rounds; ++round) {
    const Sample pass = {timed([&] { read_spans(pool, ternary); }),
                         timed([&] { transformer.forward(rows, scheduler.kv()); })};
    const Sample output = {timed([&] { read_spans(pool, head); }),
                           timed([&] { compute_head(transformer.head(), states, logits.data()); })};
    if (round == 0) continue;  // maps pages
    passes.push_back(pass);
    heads.push_back(output);
    tokens.push_back({pass.read + output.read, pass.work + output.work});
  }
  double ternary_bytes = 0.0;
  for (const Span& span : ternary) ternary_bytes += static_cast<double>(span.size);
  const auto head_bytes = static_cast<double>(head.front().size);
  std::printf("%s, %d threads, position %d\n", kernels.name, options.threads, options.position);
  std::printf("%-8s %5s %9s %9s %9s %9s %9s %9s\n", "", "rows", "median ms", "best ms", "GB/s",
              "read GB/s", "share", "rows/s");
  print_samples("forward", passes, ternary_bytes, options.rows);
  print_samples("head", heads, head_bytes, options.rows);
  print_samples("token", tokens, ternary_bytes + head_bytes, options.rows);
  const SparsityCounts met = transformer.sparsity();
  if (met.rows > 0) {
    std::printf("active: %.1f %% of the rows of up, %.1f %% of the columns of down\n",
                100.0 * static_cast<double>(met.active_rows) / static_cast<double>(met.rows),
                100.0 * static_cast<double>(met.active_columns) / static_cast<double>(met.columns));
  }
}

[[noreturn]] void usage(const char* program) {
  std::fprintf(stderr,
               "usage: %s BUNDLE [--threads N] [--rows N] [--position N] [--rounds N]"
               " [--table NAME] [--prompt] [--sparsity]\n",
               program);
  std::exit(2);
}

Options parse(int argc, char** argv) {
  Options options;
  if (argc < 2) usage(argv[0]);
  options.bundle = argv[1];
  for (int i = 2; i < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--prompt" || name == "--sparsity") {
      (name == "--prompt" ? options.prompt : options.sparsity) = true;
      --i;
      continue;
    }
    if (i + 1 >= argc) usage(argv[0]);
    if (name == "--table") {
      options.table = argv[i + 1];
      continue;
    }
    const int value = std::max(name == "--position" ? 0 : 1, std::atoi(argv[i + 1]));
    if (name == "--threads") {
      options.threads = value;
    } else if (name == "--rows") {
      options.rows = value;
    } else if (name == "--position") {
      options.position = value;
    } else if (name == "--rounds") {
      options.rounds = value;
    } else {
      usage(argv[0]);
    }
  }
  return options;
}

}  // namespace
}  // namespace sterna::bench

int main(int argc, char** argv) {
  try {
    sterna::bench::run(sterna::bench::parse(argc, argv));
  } catch (const sterna::Error& error) {
    std::fprintf(stderr, "decode_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
