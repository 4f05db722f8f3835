// The direct engine: commands on the host, each in a box that holds the volumes which it names.
//
//   DirectShell shell(box);
//   shell.show("/view/2", {&overlay, &overlay, range});
//   shell.run("e2fsck -fn /view/2");
#pragma once

#include <string>
#include <vector>

#include "imgtool/guest/box.hpp"
#include "imgtool/guest/shell.hpp"
#include "io/error.hpp"

namespace imgtool::guest {

// A signal ended a program, as a hostile file system may make it end. Whatever it has written is
// worth nothing.
class ProgramDied : public io::Error {
 public:
  using io::Error::Error;
};

// Where commands find the volume in this partition; 0: the whole disk.
[[nodiscard]] std::string view_of(unsigned partition);

class DirectShell final : public Shell {
 public:
  // `box` outlives it.
  explicit DirectShell(Box& box) : box_(box) {}

  // `device` is a view_of(). What `content` points at outlives the shell.
  void show(const std::string& device, const io::ViewContent& content);

  // Throws as Box::run() does, ProgramDied, and where a program is not there.
  CommandResult run(const std::string& command) override;

 private:
  Box& box_;
  std::vector<BoxFile> files_;
};

}  // namespace imgtool::guest
