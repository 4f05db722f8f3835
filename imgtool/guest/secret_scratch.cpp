#include "imgtool/guest/secret_scratch.hpp"

#include <fmt/format.h>

namespace imgtool::guest {
namespace {

constexpr const char* device = "/dev/mapper/imgtool-scratch";
constexpr const char* folder = "/tmp/imgtool-secret";

}  // namespace

SecretScratch::SecretScratch(ApplianceContext& context)
    : context_(context), plain_device_(context.scratch_device), plain_folder_(context.list_folder) {
  if (plain_device_.empty() || plain_device_ == device) return;
  // 64 bytes: two keys of AES-256, as xts wants them. `head` gives all of them or the open fails.
  context.shell.must("encrypting the scratch disk",
                     fmt::format("head -c 64 /dev/urandom | cryptsetup open --type plain --cipher "
                                 "aes-xts-plain64 --key-size 512 --key-file - --keyfile-size 64 "
                                 "{} imgtool-scratch",
                                 plain_device_));
  open_ = true;
  context.scratch_device = device;
  context.shell.must("keeping names in memory",
                     fmt::format("mkdir -p {0} && mount -t tmpfs tmpfs {0}", folder));
  context.list_folder = folder;
}

SecretScratch::~SecretScratch() {
  if (!open_) return;
  context_.scratch_device = plain_device_;
  context_.list_folder = plain_folder_;
  try {
    context_.shell.run(fmt::format("umount {}; cryptsetup close imgtool-scratch", folder));
  } catch (const io::Error&) {
    return;  // the appliance is gone, and with it the key
  }
}

}  // namespace imgtool::guest
