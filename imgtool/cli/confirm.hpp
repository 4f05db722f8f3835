// The last question before a disk is overwritten.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace imgtool {

struct ConfirmOptions {
  bool yes = false;  // --yes: do not ask
  int input = 0;     // both have to be terminals for a question to make sense
  int output = 2;
  // The input brings something else than answers (an image): ask on /dev/tty instead.
  bool controlling_terminal = false;
};

// Shows `consequence` ("this disk will be overwritten:") and the facts about what it hits, a line
// each (model, serial, size), and returns once the user has typed the word yes. What was typed
// before the question does not count. Throws io::Error: refused for any other answer or when
// there is no terminal to ask on, cancelled when a signal asked to stop.
void confirm(std::string_view consequence, const std::vector<std::string>& facts,
             const ConfirmOptions& options);

}  // namespace imgtool
