#include "runtime/speculator.h"

#include <algorithm>

#include "runtime/scheduler.h"

namespace sterna {

namespace {

constexpr double kLearn = 0.15;        // weight of one draft in the rates of its sequence
constexpr double kLearnShared = 0.02;  // and in those where new sequences begin
constexpr double kWorthwhile = 1.02;   // the least gain in speed to act on
// What a sequence may lose by drafts: so many tokens, and this share of those generated.
constexpr double kAllowance = 0.25;
constexpr double kAllowedShare = 0.01;
constexpr double kMostSaved = 2.0;  // earlier gains allow no more than this much loss later

double allowance(const Sequence& sequence) {
  return kAllowance + kAllowedShare * sequence.generated;
}

// The load with `count` rows at `position` more, each with a final state to look at.
StepLoad with_drafts(StepLoad load, int position, int count) {
  load.rows += count;
  load.states += count;
  load.positions += static_cast<double>(count) * (position + 1);
  return load;
}

bool is_decoding(const Slice& slice) {
  const Sequence& sequence = *slice.sequence;
  return slice.end == static_cast<int>(sequence.tokens.size()) && slice.end - slice.begin == 1 &&
         sequence.request->started;
}

}  // namespace

int AcceptanceRates::class_of(int match_length) {
  if (match_length <= 2) return 0;
  if (match_length <= 4) return 1;
  return match_length <= 8 ? 2 : 3;
}

void AcceptanceRates::learn(int match_length, int accepted, bool failed, double speed) {
  double& rate = rates_[class_of(match_length)];
  for (int i = 0; i < accepted; ++i) rate += speed * (1.0 - rate);
  if (failed) rate -= speed * rate;
}

Speculator::Speculator(const EngineOptions& options, int max_rows)
    : mode_(options.speculation),
      max_draft_(options.max_draft_tokens),
      max_step_rows_(max_rows),
      max_draft_rows_(
          mode_ == Speculation::kOff ? 0 : std::max(options.max_draft_tokens, options.max_batch)) {}

void Speculator::extend(std::vector<Slice>& plan, Scheduler& scheduler, const StepCost& cost) {
  if (mode_ == Speculation::kOff) return;
  Step step;
  for (const Slice& slice : plan) {
    for (int i = slice.begin; i < slice.end; ++i) step.load.positions += i + 1;
    step.load.rows += slice.end - slice.begin;
    if (slice.end == static_cast<int>(slice.sequence->tokens.size())) ++step.tokens;
  }
  step.load.states = step.tokens;
  int left = std::min(max_draft_rows_, max_step_rows_ - step.load.rows);
  for (Slice& slice : plan) {
    if (left <= 0) return;
    // A mask holds for one position, and those behind it are not known yet.
    if (!is_decoding(slice) || slice.sequence->request->request.guided) continue;
    const Request& request = slice.sequence->request->request;
    const int wanted = request.max_tokens - slice.sequence->generated - 1;
    draft(slice, std::min({max_draft_, wanted, left}), scheduler, cost, step);
    left -= static_cast<int>(slice.draft.size());
  }
}

void Speculator::draft(Slice& slice, int most, Scheduler& scheduler, const StepCost& cost,
                       Step& step) {
  if (most <= 0) return;
  Sequence& sequence = *slice.sequence;
  Drafting& drafting = sequence.drafting;
  const NgramMatch match = find(sequence);
  if (match.position < 0) return;
  drafting.match_length = match.length;
  const int wanted = mode_ == Speculation::kAlways ? most : best_count(sequence, most, cost, step);
  if (wanted == 0) return;
  const int size = static_cast<int>(sequence.tokens.size());
  const int count = scheduler.reserve_ahead(sequence, wanted);
  if (count <= 0) return;
  for (int i = 0; i < count; ++i) {
    const int from = match.position + i;
    // Behind the end the drafts themselves go on: the text may repeat what it has just begun.
    slice.draft.push_back(from < size ? sequence.tokens[from] : slice.draft[from - size]);
  }
  drafting.hint = match.position;
  const double plain = cost.seconds(step.load);
  step.load = with_drafts(step.load, size, count);
  const double extra = cost.seconds(step.load) - plain;
  drafting.cost = plain > 0.0 ? std::max(extra, 0.0) / plain * step.tokens : 0.0;
}

// The number of drafts that makes the most of the step's time.
int Speculator::best_count(const Sequence& sequence, int most, const StepCost& cost, Step& step) {
  const Drafting& drafting = sequence.drafting;
  const double plain = cost.seconds(step.load);
  if (plain <= 0.0) return 0;  // nothing was measured yet
  const int size = static_cast<int>(sequence.tokens.size());
  const double rate = drafting.rates.of(drafting.match_length);
  const double tokens = step.tokens + step.expected;
  double best_speed = kWorthwhile * tokens / plain;
  double best_gain = 0.0;
  int best = 0;
  double likelihood = 1.0;
  double gain = 0.0;
  for (int count = 1; count <= most; ++count) {
    likelihood *= rate;
    gain += likelihood;
    const double seconds = cost.seconds(with_drafts(step.load, size, count));
    if (tokens + gain > best_speed * seconds) {
      best_speed = (tokens + gain) / seconds;
      best_gain = gain;
      best = count;
    }
  }
  if (best > 0) {
    // It pays on average, unless the sequence has lost too much by such averages already.
    if (drafting.balance < -allowance(sequence)) return 0;
    step.expected += best_gain;
    return best;
  }
  const double seconds = cost.seconds(with_drafts(step.load, size, 1));
  const double loss = std::max(seconds / plain - 1.0, 0.0) * step.tokens;
  return drafting.balance - loss < -allowance(sequence) ? 0 : 1;
}

NgramMatch Speculator::find(Sequence& sequence) const {
  Drafting& drafting = sequence.drafting;
  const int prompt = static_cast<int>(sequence.request->request.prompt.size());
  if (!drafting.prompt) {
    // The first choice that drafts makes the index of the prompt for all.
    std::shared_ptr<NgramIndex>& shared = sequence.request->prompt_index;
    if (!shared) {
      shared = std::make_shared<NgramIndex>(0);
      shared->extend(sequence.request->request.prompt, prompt);
    }
    drafting.prompt = shared;
    drafting.output = NgramIndex(prompt);
    drafting.rates = rates_;
  }
  drafting.output.extend(sequence.tokens, static_cast<int>(sequence.tokens.size()));
  return find_ngram(sequence.tokens, drafting.output, *drafting.prompt, drafting.hint);
}

void Speculator::learn(Sequence& sequence, int drafted, int accepted) {
  drafted_ += drafted;
  accepted_ += accepted;
  Drafting& drafting = sequence.drafting;
  const bool failed = accepted < drafted;
  drafting.rates.learn(drafting.match_length, accepted, failed, kLearn);
  rates_.learn(drafting.match_length, accepted, failed, kLearnShared);
  drafting.balance = std::min(drafting.balance + accepted - drafting.cost, kMostSaved);
  drafting.hint = failed ? -1 : drafting.hint + accepted + 1;
}

}  // namespace sterna
