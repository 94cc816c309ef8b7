// A test harness of one header: TEST(name) { CHECK(...); CHECK_EQ(a, b); CHECK_THROWS(expr, code);
// } A failed check reports and the test goes on; the process exits 1 when any failed.
#pragma once

#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "sterna/error.h"

namespace sterna::test {

struct TestCase {
  std::string name;
  std::function<void()> body;
};

std::vector<TestCase>& registry();
void report_failure(const char* file, int line, const std::string& what);

struct Registrar {
  Registrar(const char* name, std::function<void()> body) { registry().push_back({name, body}); }
};

template <typename A, typename B>
void check_eq(const A& a, const B& b, const char* expression, const char* file, int line) {
  if (!(a == b)) {
    std::cerr << "  left: " << a << "\n  right: " << b << "\n";
    report_failure(file, line, expression);
  }
}

}  // namespace sterna::test

#define TEST(name)                                                             \
  static void test_##name();                                                   \
  static const ::sterna::test::Registrar registrar_##name(#name, test_##name); \
  static void test_##name()

#define CHECK(condition)                                                              \
  do {                                                                                \
    if (!(condition)) ::sterna::test::report_failure(__FILE__, __LINE__, #condition); \
  } while (false)

#define CHECK_EQ(a, b) ::sterna::test::check_eq((a), (b), #a " == " #b, __FILE__, __LINE__)

// The expression throws sterna::Error with this code.
#define CHECK_THROWS(expression, expected)                                                         \
  do {                                                                                             \
    bool thrown = false;                                                                           \
    try {                                                                                          \
      (void)(expression);                                                                          \
    } catch (const ::sterna::Error& error) {                                                       \
      thrown = true;                                                                               \
      if (error.code() != (expected)) {                                                            \
        ::sterna::test::report_failure(__FILE__, __LINE__,                                         \
                                       std::string("wrong code: ") + error.what());                \
      }                                                                                            \
    }                                                                                              \
    if (!thrown) ::sterna::test::report_failure(__FILE__, __LINE__, #expression " threw nothing"); \
  } while (false)
