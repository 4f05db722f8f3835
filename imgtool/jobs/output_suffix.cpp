#include "imgtool/jobs/output_suffix.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "io/error.hpp"

namespace imgtool {
namespace {

using formats::Format;

struct Promise {
  std::string_view suffix;
  std::string_view what;
  std::string_view program;  // which makes it of what it reads from a pipe
  std::string_view qemu;     // qemu-img's name of the format
};

constexpr std::array<Promise, 13> not_written = {{
    {".tar.gz", "a tar archive", {}, {}},
    {".tar.xz", "a tar archive", {}, {}},
    {".tgz", "a tar archive", {}, {}},
    {".bz2", "bzip2", "bzip2", {}},
    {".lzma", "lzma", "xz --format=lzma", {}},
    {".lzo", "lzop", "lzop", {}},
    {".zip", "zip", {}, {}},
    {".7z", "7-Zip", {}, {}},
    {".rar", "RAR", {}, {}},
    {".tar", "a tar archive", {}, {}},
    {".ova", "an appliance (OVA)", {}, {}},
    {".qed", "a QED image", {}, "qed"},
    {".dmg", "an Apple disk image", {}, {}},
}};

constexpr std::array<std::pair<std::string_view, Format>, 4> of_other_programs = {{
    {".vmdk", Format::vmdk},
    {".vhd", Format::vpc},
    {".vhdx", Format::vhdx},
    {".vdi", Format::vdi},
}};

bool ends_with_any_case(std::string_view name, std::string_view suffix) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return name.size() >= suffix.size() && std::equal(suffix.rbegin(), suffix.rend(), name.rbegin(),
                                                    [&](char a, char b) { return a == lower(b); });
}

std::string way_on(const Promise& promise) {
  if (!promise.qemu.empty()) {
    return fmt::format("qemu-img convert -O {} makes one of a raw or qcow2 image", promise.qemu);
  }
  if (!promise.program.empty()) {
    return fmt::format("write to - and pipe it into {}, or name it .zst, .xz or .gz",
                       promise.program);
  }
  return "choose .img, .qcow2, .zst, .xz or .gz";
}

}  // namespace

Format format_by_suffix(const std::string& path, Format otherwise) {
  if (path.ends_with(".zst")) return Format::zst;
  if (ends_with_any_case(path, ".gz") && !ends_with_any_case(path, ".tar.gz")) return Format::gz;
  if (ends_with_any_case(path, ".xz") && !ends_with_any_case(path, ".tar.xz")) return Format::xz;
  if (ends_with_any_case(path, ".lz4") && !ends_with_any_case(path, ".tar.lz4")) return Format::lz4;
  if (ends_with_any_case(path, ".simg")) return Format::simg;
  if (path.ends_with(".qcow2") || path.ends_with(".qcow")) return Format::qcow2;
  for (const auto& [suffix, format] : of_other_programs) {
    if (ends_with_any_case(path, suffix)) return format;
  }
  for (const Promise& promise : not_written) {
    if (!ends_with_any_case(path, promise.suffix)) continue;
    throw io::Error::refusal(
        path, fmt::format("is named {}, and imgtool does not write {}: {}; a format that is stated "
                          "(-O raw) is written under any name",
                          promise.suffix, promise.what, way_on(promise)));
  }
  return otherwise;
}

}  // namespace imgtool
