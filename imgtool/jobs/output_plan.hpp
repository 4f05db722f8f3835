// How an image will be written: the user's options understood, and found to fit together. A plan
// is made in one step and does not change.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/images/format.hpp"
#include "formats/images/qcow2/compress.hpp"
#include "formats/images/qcow2/create_options.hpp"
#include "formats/images/vhd/footer.hpp"
#include "imgtool/jobs/output_options.hpp"

namespace imgtool {

// Streams, and VMDK's, are compressed whether -c says so or not.
[[nodiscard]] bool is_always_compressed(formats::Format format);

// Those of formats::BlockTarget.
[[nodiscard]] bool has_block_table(formats::Format format);

struct OutputPlan {
  std::string path;
  formats::Format format = formats::Format::raw;
  bool format_stated = false;                  // by -O, not by a name
  formats::qcow2::CreateOptions create;        // of qcow2
  std::optional<formats::qcow2::Codec> codec;  // of qcow2; nothing: not compressed
  int stream_level = 3;                        // of what is always compressed
  formats::qcow2::Preallocation preallocation = formats::qcow2::Preallocation::off;
  std::uint64_t smallest_hole = 4 * io::KiB;  // of raw, in bytes
  formats::vhd::Kind vhd_kind = formats::vhd::Kind::dynamic;
  std::uint64_t block_size = 0;  // of vhdx, in bytes; 0: what is usual for the disk's size
  std::uint64_t alignment = 1;   // of vpc: the disk is padded to whole ones of these bytes
  bool existing = false;
  bool follow_references = false;
  bool target_is_zero = false;
  bool force = false;
  bool resume = false;
  mode_t mode = 0666;                // of a new file, less the umask
  std::vector<std::string> notes{};  // what of the options has no effect here, a line each

  // That of the image's disk, for so many bytes of content; most formats fill the last sector up.
  [[nodiscard]] std::uint64_t disk_size(std::uint64_t size) const;

  // Only a raw file that has room where it is written can be gone on with by a later run.
  [[nodiscard]] bool can_be_resumed() const {
    return format == formats::Format::raw && path != "-" &&
           preallocation == formats::qcow2::Preallocation::off;
  }
};

// The image that the new one is to be laid over, as the user names it: relative to the new one.
struct BackingChoice {
  std::string name;
  std::optional<formats::Format> format;  // nothing: its content decides
};
// What -B, -F and -o say of it; nothing: it has none. Throws UsageError.
[[nodiscard]] std::optional<BackingChoice> backing_choice(const OutputOptions& options,
                                                          const std::string& path);

// The same, once it was opened (imgtool/jobs/backing_file.hpp): what the new image's header says.
struct BackingReference {
  std::string name;
  formats::Format format;
};

// What -o size= says of the disk, in bytes. Throws UsageError.
[[nodiscard]] std::optional<std::uint64_t> stated_size(const OutputOptions& options,
                                                       const std::string& path);

// `size` is that of the disk in bytes, where it is known; `backing` is given when, and only when,
// backing_choice() is something. Throws UsageError, and io::Error (refused) for a name whose
// suffix promises a format that imgtool does not write.
[[nodiscard]] OutputPlan plan_output(const OutputOptions& options, const std::string& path,
                                     std::optional<std::uint64_t> size,
                                     const std::optional<BackingReference>& backing = {});

}  // namespace imgtool
