#include <pybind11/pybind11.h>

#include <algorithm>
#include <string>

#include "bindings.h"
#include "kernels/kernels.h"
#include "machine.h"
#include "sterna/error.h"

namespace py = pybind11;

namespace sterna {
namespace {

constexpr int kMaxThreads = 1024;
constexpr std::int64_t kMinBytes = std::int64_t{1} << 20;
constexpr std::int64_t kMaxBytes = std::int64_t{1} << 36;

bench::Floors measure(int threads, std::int64_t bytes) {
  if (threads < 1 || threads > kMaxThreads) {
    throw Error(ErrorCode::kInvalidArgument, "threads must be 1 to " + std::to_string(kMaxThreads),
                "threads");
  }
  if (bytes < kMinBytes || bytes > kMaxBytes) {
    throw Error(ErrorCode::kInvalidArgument,
                "bytes must be " + std::to_string(kMinBytes) + " to " + std::to_string(kMaxBytes),
                "bytes");
  }
  return bench::measure_floors(threads, static_cast<std::size_t>(bytes), select_kernels().name);
}

}  // namespace

void bind_floors(py::module_& module) {
  py::class_<bench::Floors>(module, "Floors")
      .def_readonly("kernels", &bench::Floors::table)
      .def_readonly("read_bytes_per_second", &bench::Floors::read_bytes_per_second)
      .def_readonly("int8_macs_per_second", &bench::Floors::int8_macs_per_second);
  module.def("measure_floors", &measure, py::arg("threads"), py::arg("bytes"),
             py::call_guard<py::gil_scoped_release>());
}

}  // namespace sterna
