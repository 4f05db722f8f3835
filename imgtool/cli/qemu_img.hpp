// Command lines of qemu-img 7.2 as command lines of ours.
//
// Options may be shortened and joined as getopt_long() allows it (--out json, -pcO qcow2), and
// stand anywhere. What qemu-img does without being asked is asked for: it follows references,
// replaces files, and writes raw images whatever the suffix says. What would lose or mix up content
// in qemu-img is refused here as ever: disks in use, images in use, a smaller size that cuts off
// what is in use.
#pragma once

#include <string>

#include "imgtool/cli/options.hpp"

namespace imgtool {

struct QemuTranslation {
  std::string command;
  Arguments arguments;
  bool own_exit_codes = false;  // qemu-img's are more than 0 and 1 for this command
};

// `arguments` are what follows "qemu-img": a command, its options and names. Throws UsageError for
// what qemu-img itself would not take, and for what has no counterpart here, with the way on.
QemuTranslation translate_qemu_img(const Arguments& arguments);

}  // namespace imgtool
