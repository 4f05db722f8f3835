// The scratch disk, encrypted: for what lies inside LUKS and is made anew.
//
// While it lives, context.scratch_device is dm-crypt over the scratch disk, and context.list_folder
// is in the appliance's memory. The key comes from the appliance's kernel and is known to it alone:
// what was written to the disk can be read by no program any more once the appliance has ended,
// however that came about.
#pragma once

#include <string>

#include "imgtool/guest/content.hpp"

namespace imgtool::guest {

class SecretScratch {
 public:
  // Nothing is done where the context has no scratch disk, or one that is encrypted already.
  // Throws io::Error.
  explicit SecretScratch(ApplianceContext& context);
  SecretScratch(const SecretScratch&) = delete;
  SecretScratch& operator=(const SecretScratch&) = delete;
  ~SecretScratch();

 private:
  ApplianceContext& context_;
  const std::string plain_device_;
  const std::string plain_folder_;
  bool open_ = false;
};

}  // namespace imgtool::guest
