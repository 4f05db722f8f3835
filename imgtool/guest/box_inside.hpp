// What a process does to get into a box, between fork() and execve(). See box.hpp.
//
// Two processes: one stays outside of the namespace of processes and waits; its child is the first
// process inside, starts the command, and takes all others with it when it ends.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <sys/types.h>

#include "imgtool/guest/box.hpp"

namespace imgtool::guest {

// Messages that the box sends: one kind, then what belongs to it.
enum class BoxWord : char {
  views = 'V',   // descriptors of mounted views, in the order of the files
  failed = 'E',  // a text; there is no box
  ended = 'X',   // an int: the command's status, as of wait()
};
inline constexpr std::size_t longest_box_message = 512;
inline constexpr std::size_t most_box_files = 64;  // a message holds as many descriptors

struct BoxEntry {
  const BoxOptions& options;
  const std::string& command;
  std::span<const BoxFile> files;
  pid_t outside = 0;  // who must live for all this to go on
  int out = -1;       // what the command says
  int err = -1;
  int messages = -1;  // a socket that keeps messages apart
};

// In a child process of its own. Never returns.
[[noreturn]] void enter_box(const BoxEntry& entry) noexcept;

// The last walls, which the command itself gets: each throws io::Error.
void restrict_files(const std::vector<std::string>& writable);  // Landlock, where there is one
void restrict_calls();                                          // seccomp

}  // namespace imgtool::guest
