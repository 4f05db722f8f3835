// The command line makes no sense: one line that names the word at fault; exit code 2.
#pragma once

#include <stdexcept>

namespace imgtool {

class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace imgtool
