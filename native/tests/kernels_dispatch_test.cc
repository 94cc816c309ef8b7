// Which table is chosen, and what an unusable name answers.
#include <cstdlib>

#include "kernels_support.h"

namespace sterna {
namespace {

// Sets STERNA_KERNELS for one test and puts back what was there.
class KernelsVariable {
 public:
  explicit KernelsVariable(const char* value) {
    const char* before = std::getenv(kName);
    had_value_ = before != nullptr;
    if (had_value_) before_ = before;
    if (value != nullptr) {
      setenv(kName, value, 1);
    } else {
      unsetenv(kName);
    }
  }
  ~KernelsVariable() {
    if (had_value_) {
      setenv(kName, before_.c_str(), 1);
    } else {
      unsetenv(kName);
    }
  }

 private:
  static constexpr const char* kName = "STERNA_KERNELS";
  bool had_value_ = false;
  std::string before_;
};

TEST(dispatch_reference_is_last_and_always_there) {
  CHECK_EQ(available_kernels().back(), &reference_kernels());
  CHECK_EQ(std::string(reference_kernels().name), std::string("reference"));
  std::cout << "tables on this host:";
  for (const Kernels* kernels : available_kernels()) std::cout << " " << kernels->name;
  std::cout << "\n";
}

TEST(dispatch_takes_the_fastest_by_default) {
  for (const char* value : {static_cast<const char*>(nullptr), ""}) {
    const KernelsVariable variable(value);
    CHECK_EQ(&select_kernels(), available_kernels().front());
  }
}

TEST(dispatch_takes_what_is_named) {
  for (const Kernels* kernels : available_kernels()) {
    const KernelsVariable variable(kernels->name);
    CHECK_EQ(&select_kernels(), kernels);
  }
}

TEST(dispatch_refuses_other_names) {
#if defined(__x86_64__)
  const char* foreign = "neon_dotprod";
#else
  const char* foreign = "avx2";
#endif
  for (const char* name : {"sse9", "AVX2", foreign}) {
    const KernelsVariable variable(name);
    CHECK_THROWS(select_kernels(), ErrorCode::kInvalidArgument);
    try {
      select_kernels();
    } catch (const Error& error) {
      const std::string message = error.what();
      CHECK(message.find(name) != std::string::npos);
      CHECK_EQ(error.field(), std::string("STERNA_KERNELS"));
      for (const Kernels* kernels : available_kernels()) {
        CHECK(message.find(kernels->name) != std::string::npos);
      }
    }
  }
}

}  // namespace
}  // namespace sterna
