// The Python extension: the public face of the engine, and nothing more.
//
// The engine's threads never touch Python. Calls that may wait release the GIL.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "base/cpu_budget.h"
#include "bindings.h"
#include "kernels/kernels.h"
#include "sterna/adapter.h"
#include "sterna/engine.h"
#include "sterna/error.h"
#include "sterna/model.h"

namespace py = pybind11;

namespace sterna {
namespace {

// Of objects whose end takes a while: threads are joined, and gigabytes unmapped.
using FreeReleased = py::release_gil_before_calling_cpp_dtor;

const char* code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kContextLength:
      return "context_length";
    case ErrorCode::kQueueFull:
      return "queue_full";
    case ErrorCode::kShuttingDown:
      return "shutting_down";
    case ErrorCode::kCheckpointInvalid:
      return "checkpoint_invalid";
    case ErrorCode::kUnsupportedModel:
      return "unsupported_model";
    case ErrorCode::kUnsupportedAdapter:
      return "unsupported_adapter";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

HeadLayout head_layout_from(const std::string& name) {
  if (name == "auto") return HeadLayout::kAuto;
  if (name == "plain") return HeadLayout::kPlain;
  if (name == "split") return HeadLayout::kSplit;
  throw Error(ErrorCode::kInvalidArgument,
              "head_layout must be auto, plain or split, not '" + name + "'", "head_layout");
}

HeadPrecision head_precision_from(const std::string& name) {
  static const std::map<std::string, HeadPrecision> kNames = {
      {"", HeadPrecision::kAsCheckpoint}, {"bf16", HeadPrecision::kBf16},
      {"int8", HeadPrecision::kInt8},     {"q8_0", HeadPrecision::kQ8_0},
      {"q6_k", HeadPrecision::kQ6K},      {"q5_0", HeadPrecision::kQ5_0},
      {"q4_0", HeadPrecision::kQ4_0}};
  const auto found = kNames.find(name);
  if (found != kNames.end()) return found->second;
  throw Error(
      ErrorCode::kInvalidArgument,
      "head_precision must be bf16, int8, q8_0, q6_k, q5_0, q4_0 or empty, not '" + name + "'",
      "head_precision");
}

void bind_errors(py::module_& module) {
  static PyObject* native_error =
      PyErr_NewException("sterna_service.engine._native.NativeError", PyExc_Exception, nullptr);
  module.attr("NativeError") = py::reinterpret_borrow<py::object>(native_error);
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const Error& error) {
      py::object instance = py::reinterpret_borrow<py::object>(native_error)(error.what());
      instance.attr("code") = code_name(error.code());
      instance.attr("field") = error.field();
      PyErr_SetObject(native_error, instance.ptr());
    }
  });
}

py::list pairs(const std::vector<TokenLogprob>& logprobs) {
  py::list list(logprobs.size());
  for (std::size_t i = 0; i < logprobs.size(); ++i) {
    list[i] = py::make_tuple(logprobs[i].token, logprobs[i].logprob);
  }
  return list;
}

void bind_request(py::module_& module) {
  py::class_<Request> request(module, "Request");
  request.def(py::init<>())
      .def_readwrite("id", &Request::id)
      .def_readwrite("prompt", &Request::prompt)
      .def_readwrite("max_tokens", &Request::max_tokens)
      .def_readwrite("min_tokens", &Request::min_tokens)
      .def_readwrite("choices", &Request::choices)
      .def_readwrite("stop_tokens", &Request::stop_tokens)
      .def_readwrite("top_logprobs", &Request::top_logprobs)
      .def_readwrite("prompt_logprobs", &Request::prompt_logprobs)
      .def_property(
          "embedding",
          [](const Request& r) -> std::optional<std::string> {
            if (!r.embedding) return std::nullopt;
            return *r.embedding == Pooling::kMean ? "mean" : "last";
          },
          [](Request& r, const std::optional<std::string>& pooling) {
            if (pooling && *pooling != "mean" && *pooling != "last") {
              throw Error(ErrorCode::kInvalidArgument, "embedding must be mean, last or None",
                          "embedding");
            }
            r.embedding.reset();
            if (pooling) r.embedding = *pooling == "mean" ? Pooling::kMean : Pooling::kLast;
          })
      .def_readwrite("guided", &Request::guided)
      .def_property(
          "adapter", [](const Request& r) { return std::const_pointer_cast<Adapter>(r.adapter); },
          [](Request& r, std::shared_ptr<Adapter> adapter) { r.adapter = std::move(adapter); });
  const auto sampling = [&request](const char* name, auto member) {
    request.def_property(
        name, [member](const Request& r) { return r.sampling.*member; },
        [member](Request& r, std::decay_t<decltype(r.sampling.*member)> value) {
          r.sampling.*member = std::move(value);
        });
  };
  sampling("temperature", &SamplingParams::temperature);
  sampling("top_k", &SamplingParams::top_k);
  sampling("top_p", &SamplingParams::top_p);
  sampling("min_p", &SamplingParams::min_p);
  sampling("repetition_penalty", &SamplingParams::repetition_penalty);
  sampling("frequency_penalty", &SamplingParams::frequency_penalty);
  sampling("presence_penalty", &SamplingParams::presence_penalty);
  sampling("seed", &SamplingParams::seed);
  sampling("logit_bias", &SamplingParams::logit_bias);
}

// Makes an enum.IntEnum of the module and returns its members by value. They live as long as the
// module, that is, as long as the process: an event hands them out without a look-up.
std::vector<py::handle> make_enum(py::module_& module, const char* name,
                                  std::initializer_list<const char*> members) {
  py::list numbered;
  int value = 0;
  for (const char* member : members) numbered.append(py::make_tuple(member, value++));
  py::object type = py::module_::import("enum").attr("IntEnum")(name, numbered);
  type.attr("__module__") = module.attr("__name__");
  module.attr(name) = type;
  std::vector<py::handle> handles;
  for (const char* member : members)
    handles.push_back(type.attr(member).cast<py::object>().release());
  return handles;
}

void bind_event(py::module_& module) {
  static const auto kinds =
      make_enum(module, "EventKind", {"STARTED", "TOKEN", "FINISHED", "FAILED", "EMBEDDED"});
  static const auto reasons =
      make_enum(module, "FinishReason", {"NONE", "STOP", "LENGTH", "CANCELLED"});
  py::class_<Event>(module, "Event")
      .def_readonly("request_id", &Event::request_id)
      .def_property_readonly("kind", [](const Event& e) { return kinds[static_cast<int>(e.kind)]; })
      .def_readonly("choice", &Event::choice)
      .def_readonly("token", &Event::token)
      .def_readonly("logprob", &Event::logprob)
      .def_property_readonly("top_logprobs", [](const Event& e) { return pairs(e.top_logprobs); })
      .def_property_readonly(
          "finish_reason",
          [](const Event& e) { return reasons[static_cast<int>(e.finish_reason)]; })
      .def_readonly("prompt_tokens", &Event::prompt_tokens)
      .def_readonly("cached_tokens", &Event::cached_tokens)
      .def_readonly("queue_seconds", &Event::queue_seconds)
      .def_readonly("prefill_seconds", &Event::prefill_seconds)
      .def_property_readonly("prompt_logprobs",
                             [](const Event& e) { return pairs(e.prompt_logprobs); })
      .def_property_readonly("prompt_top_logprobs",
                             [](const Event& e) {
                               py::list positions;
                               for (const auto& top : e.prompt_top_logprobs) {
                                 positions.append(pairs(top));
                               }
                               return positions;
                             })
      .def_readonly("embedding", &Event::embedding)
      .def_property_readonly("error_code", [](const Event& e) { return code_name(e.error_code); })
      .def_readonly("error_message", &Event::error_message);
}

void bind_model(py::module_& module) {
  py::class_<ModelConfig>(module, "ModelConfig")
      .def_readonly("architecture", &ModelConfig::architecture)
      .def_readonly("vocab_size", &ModelConfig::vocab_size)
      .def_readonly("hidden_size", &ModelConfig::hidden_size)
      .def_readonly("intermediate_size", &ModelConfig::intermediate_size)
      .def_readonly("layers", &ModelConfig::layers)
      .def_readonly("heads", &ModelConfig::heads)
      .def_readonly("kv_heads", &ModelConfig::kv_heads)
      .def_readonly("head_dim", &ModelConfig::head_dim)
      .def_readonly("context_length", &ModelConfig::context_length)
      .def_readonly("tied_embeddings", &ModelConfig::tied_embeddings)
      .def_readonly("weight_group", &ModelConfig::weight_group)
      .def_readonly("ternary_embedding", &ModelConfig::ternary_embedding)
      .def_readonly("ternary_head", &ModelConfig::ternary_head);
  // pybind11 holds no pointers to const; the class offers no way to change the model.
  py::class_<Model, std::shared_ptr<Model>>(module, "Model", FreeReleased())
      .def_static(
          "open",
          [](const std::string& path) { return std::const_pointer_cast<Model>(Model::open(path)); },
          py::arg("bundle_path"), py::call_guard<py::gil_scoped_release>())
      .def_property_readonly("config", &Model::config)
      .def_property_readonly("parameter_count", &Model::parameter_count)
      .def_property_readonly("weight_bytes", &Model::weight_bytes);
}

// In the order of the enum.
constexpr const char* kPrecisions[] = {"none", "bf16", "int8", "q8_0", "q4_0"};

AdapterPrecision precision_named(const std::string& name) {
  const auto found = std::find(std::begin(kPrecisions), std::end(kPrecisions), name);
  if (found == std::end(kPrecisions)) {
    throw Error(ErrorCode::kInvalidArgument,
                "precision must be none, bf16, int8, q8_0 or q4_0, not '" + name + "'",
                "precision");
  }
  return static_cast<AdapterPrecision>(found - std::begin(kPrecisions));
}

void bind_adapter(py::module_& module) {
  py::class_<Adapter, std::shared_ptr<Adapter>>(module, "Adapter", FreeReleased())
      .def_static(
          "open",
          [](const std::string& directory, const Model& model, const std::string& precision) {
            return std::const_pointer_cast<Adapter>(
                Adapter::open(directory, model, precision_named(precision)));
          },
          py::arg("directory"), py::arg("model"), py::arg("precision") = "none",
          py::call_guard<py::gil_scoped_release>())
      .def_property_readonly("rank", &Adapter::rank)
      .def_property_readonly("memory_bytes", &Adapter::memory_bytes)
      .def_property_readonly("base_model", &Adapter::base_model);
}

// `allowed` is any contiguous buffer of the mask's words, such as an int32 array.
void guide(Engine& engine, std::uint64_t request_id, int choice, int index,
           const py::buffer& allowed, std::vector<TokenId> forced) {
  const py::buffer_info info = allowed.request();
  const py::ssize_t bytes = info.size * info.itemsize;
  py::ssize_t packed = info.itemsize;  // the stride of a dimension without gaps
  bool contiguous = true;
  for (py::ssize_t i = info.ndim; i-- > 0; packed *= info.shape[i]) {
    contiguous = contiguous && (info.shape[i] == 1 || info.strides[i] == packed);
  }
  if (!contiguous || bytes % 4 != 0) {
    throw Error(ErrorCode::kInvalidArgument, "allowed must be a contiguous buffer of 32-bit words",
                "allowed");
  }
  std::vector<std::uint32_t> words(bytes / 4);
  std::memcpy(words.data(), info.ptr, bytes);
  const py::gil_scoped_release released;
  engine.guide(request_id, choice, index, std::move(words), std::move(forced));
}

// In the order of the enum.
constexpr const char* kSpeculations[] = {"off", "auto", "always"};

void bind_engine(py::module_& module) {
  py::class_<EngineOptions>(module, "EngineOptions")
      .def(py::init<>())
      .def_readwrite("threads", &EngineOptions::threads)
      .def_readwrite("max_batch", &EngineOptions::max_batch)
      .def_readwrite("max_queue", &EngineOptions::max_queue)
      .def_readwrite("max_batch_tokens", &EngineOptions::max_batch_tokens)
      .def_readwrite("kv_cache_tokens", &EngineOptions::kv_cache_tokens)
      .def_property(
          "kv_cache_dtype", [](const EngineOptions& o) { return name_of(o.kv_cache_dtype); },
          [](EngineOptions& o, const std::string& name) { o.kv_cache_dtype = kv_type_named(name); })
      .def_readwrite("prefix_cache", &EngineOptions::prefix_cache)
      .def_readwrite("attention_tiles", &EngineOptions::attention_tiles)
      .def_property(
          "speculation",
          [](const EngineOptions& o) { return kSpeculations[static_cast<int>(o.speculation)]; },
          [](EngineOptions& o, const std::string& mode) {
            const auto found = std::find(std::begin(kSpeculations), std::end(kSpeculations), mode);
            if (found == std::end(kSpeculations)) {
              throw Error(ErrorCode::kInvalidArgument,
                          "speculation must be off, auto or always, not '" + mode + "'",
                          "speculation");
            }
            o.speculation = static_cast<Speculation>(found - std::begin(kSpeculations));
          })
      .def_readwrite("max_draft_tokens", &EngineOptions::max_draft_tokens)
      .def_readwrite("exact_head_screening", &EngineOptions::exact_head_screening)
      .def_readwrite("sparsity", &EngineOptions::sparsity);
  py::class_<EngineStats>(module, "EngineStats")
      .def_readonly("kernels", &EngineStats::kernels)
      .def_readonly("threads", &EngineStats::threads)
      .def_readonly("running", &EngineStats::running)
      .def_readonly("waiting", &EngineStats::waiting)
      .def_property_readonly("kv_cache_dtype",
                             [](const EngineStats& s) { return name_of(s.kv_cache_dtype); })
      .def_readonly("kv_cache_bytes", &EngineStats::kv_cache_bytes)
      .def_readonly("kv_blocks_total", &EngineStats::kv_blocks_total)
      .def_readonly("kv_blocks_used", &EngineStats::kv_blocks_used)
      .def_readonly("kv_blocks_cached", &EngineStats::kv_blocks_cached)
      .def_readonly("prompt_tokens", &EngineStats::prompt_tokens)
      .def_readonly("cached_tokens", &EngineStats::cached_tokens)
      .def_readonly("generated_tokens", &EngineStats::generated_tokens)
      .def_readonly("steps", &EngineStats::steps)
      .def_readonly("sequence_steps", &EngineStats::sequence_steps)
      .def_readonly("preemptions", &EngineStats::preemptions)
      .def_readonly("drafted_tokens", &EngineStats::drafted_tokens)
      .def_readonly("accepted_tokens", &EngineStats::accepted_tokens)
      .def_readonly("screened_states", &EngineStats::screened_states)
      .def_readonly("rescored_tokens", &EngineStats::rescored_tokens);
  using Released = py::call_guard<py::gil_scoped_release>;
  py::class_<Engine>(module, "Engine", FreeReleased())
      .def(py::init([](std::shared_ptr<Model> model, const EngineOptions& options) {
             // Not a guard of the whole call: the instance is registered behind it, with the GIL.
             const py::gil_scoped_release released;
             return Engine::create(std::move(model), options);
           }),
           py::arg("model"), py::arg("options"))
      .def(
          "submit", [](Engine& engine, const Request& request) { engine.submit(request); },
          py::arg("request"), Released())
      .def("cancel", &Engine::cancel, py::arg("request_id"), py::arg("choice") = py::none(),
           Released())
      .def("guide", &guide, py::arg("request_id"), py::arg("choice"), py::arg("index"),
           py::arg("allowed"), py::arg("forced") = std::vector<TokenId>())
      .def("outbox_fd", &Engine::outbox_fd)
      .def("drain_outbox", &Engine::drain_outbox)
      .def("stats", &Engine::stats, Released())
      .def("close", &Engine::stop, Released());
}

}  // namespace
}  // namespace sterna

PYBIND11_MODULE(_native, module) {
  using namespace sterna;
  module.doc() = "The Sterna engine; see native/include/sterna.";
  bind_errors(module);
  bind_adapter(module);
  bind_request(module);
  bind_event(module);
  bind_model(module);
  bind_engine(module);
  module.def(
      "pack_checkpoint",
      [](const std::string& checkpoint_dir, const std::string& bundle_path,
         const std::string& head_layout, const std::string& head_precision) {
        pack_checkpoint(checkpoint_dir, bundle_path,
                        {head_layout_from(head_layout), head_precision_from(head_precision)});
      },
      py::arg("checkpoint_dir"), py::arg("bundle_path"), py::arg("head_layout") = "auto",
      py::arg("head_precision") = "", py::call_guard<py::gil_scoped_release>());
  module.def("kernel_names", [] {
    std::vector<std::string> names;
    for (const Kernels* kernels : available_kernels()) names.emplace_back(kernels->name);
    return names;
  });
  module.def("cpu_budget", &cpu_budget);
  bind_floors(module);
  bind_testing(module);
}
