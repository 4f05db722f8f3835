// Whether a file is what a manifest says.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/images/archives/member_stream.hpp"
#include "formats/images/archives/ova/package.hpp"

namespace formats::ova {

// The digest of `file` in `manifest`; null where it has none. `path` is the appliance's.
[[nodiscard]] std::unique_ptr<archives::ContentCheck> make_digest_check(
    const std::vector<FileDigest>& manifest, const std::string& file, const std::string& path);

// The same where the manifest may come behind the file: `manifest` outlives the check, and is
// looked at when it finishes.
[[nodiscard]] std::unique_ptr<archives::ContentCheck> make_late_digest_check(
    const std::vector<FileDigest>& manifest, const std::string& file, const std::string& path);

}  // namespace formats::ova
