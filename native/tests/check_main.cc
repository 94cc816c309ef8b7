// Runs every registered test, or those whose name contains the first argument.
#include <exception>

#include "check.h"

namespace sterna::test {

namespace {
int failures = 0;
}

std::vector<TestCase>& registry() {
  static std::vector<TestCase> tests;
  return tests;
}

void report_failure(const char* file, int line, const std::string& what) {
  ++failures;
  std::cerr << file << ":" << line << ": check failed: " << what << "\n";
}

}  // namespace sterna::test

int main(int argc, char** argv) {
  const std::string filter = argc > 1 ? argv[1] : "";
  int run = 0;
  int failed = 0;
  for (const auto& test : sterna::test::registry()) {
    if (test.name.find(filter) == std::string::npos) continue;
    const int before = sterna::test::failures;
    try {
      test.body();
    } catch (const std::exception& error) {
      sterna::test::report_failure(test.name.c_str(), 0, error.what());
    }
    ++run;
    const bool ok = sterna::test::failures == before;
    failed += !ok;
    std::cout << (ok ? "ok   " : "FAIL ") << test.name << std::endl;
  }
  std::cout << run - failed << " passed, " << failed << " failed\n";
  return run == 0 || failed > 0;
}
