#pragma once

#include <pybind11/pybind11.h>

namespace sterna {

// `_native.testing`: single steps of the model, to hold them against other implementations.
void bind_testing(pybind11::module_& module);

// `_native.measure_floors`: what this machine can do at best.
void bind_floors(pybind11::module_& module);

}  // namespace sterna
