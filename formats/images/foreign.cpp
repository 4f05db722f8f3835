#include "formats/images/foreign.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/images/dmg/layout.hpp"
#include "formats/images/vhd/footer.hpp"
#include "io/error.hpp"

namespace formats {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view from_file =
    "imgtool reads such images from files of their own, which --spool DIR makes";
constexpr std::string_view no_image = "this is no disk image: look at what was downloaded";

constexpr ForeignKind vhd_of_other_size{
    "a Hyper-V disk image (VHD) whose start or size is not as its end says", no_image};
constexpr ForeignKind web_page{"a web page", no_image};

struct Signature {
  std::size_t offset;
  std::string_view magic;
  ForeignKind kind;
};

constexpr auto signatures = std::to_array<Signature>({
    {0, "KDMV"sv, {"a VMware disk image (VMDK)", from_file, true}},
    {0, "COWD"sv, {"a VMware disk image (COWD)", from_file, true}},
    {0,
     "# Disk DescriptorFile"sv,
     {"the descriptor of a VMware disk image, which names the files with its content", from_file,
      true}},
    {0, "\xbe\xba\xfe\xca\0\0\0\0"sv, {"a VMware disk image (seSparse)", from_file, true}},
    {64, "\x7f\x10\xda\xbe"sv, {"a VirtualBox disk image (VDI)", from_file, true}},
    {0, "conectix"sv, {"a Hyper-V disk image (VHD)", from_file, true}},
    {0, "vhdxfile"sv, {"a Hyper-V disk image (VHDX)", from_file, true}},
    {0, "QED\0"sv, {"a QED disk image", from_file, true}},
    {0, "QFI\xfb\0\0\0\1"sv, {"a qcow disk image of version 1", from_file, true}},
    {0, "WithoutFreeSpace"sv, {"a Parallels disk image", from_file, true}},
    {0, "WithouFreSpacExt"sv, {"a Parallels disk image", from_file, true}},
    {0, "encrcdsa"sv, {"an encrypted Apple disk image (DMG)", "decrypt it with hdiutil convert"}},
    {0, "EVF\x09\x0d\x0a\xff\0"sv, {"an EnCase image (E01)", "unpack it with ewfexport -f raw"}},
    {0, "MSWIM\0\0\0"sv, {"a Windows image of files (WIM)", "it holds no disk: see wimlib-imagex"}},
    {0,
     "partclone-image"sv,
     {"an image made by partclone", "restore it to a file with partclone.restore"}},
    {0,
     "\0ntfsclone-image"sv,
     {"an image made by ntfsclone", "restore it to a file with ntfsclone -r"}},
    {0, "PaRtImAgE-VoLuMe"sv, {"an image made by partimage", "restore it with partimage"}},
    {0, "FsA0"sv, {"an archive made by fsarchiver", "restore it with fsarchiver restfs"}},
    {0, "CrAU"sv, {"an Android update (payload.bin)", "unpack its partitions first"}},
    {0, "PK\x05\x06"sv, {"an empty zip archive", no_image}},
    {0, "7z\xbc\xaf\x27\x1c"sv, {"a 7z archive", "unpack it with 7z x, or 7z x -so into a pipe"}},
    {0, "Rar!\x1a\x07"sv, {"a rar archive", "unpack it with unrar x"}},
    {0, "\x02\x21\x4c\x18"sv, {"compressed by lz4", "unpack it with lz4 -d"}},
    {0, "LZIP"sv, {"compressed by lzip", "unpack it with lzip -d"}},
    {0, "\x89LZO\0\r\n\x1a\n"sv, {"compressed by lzop", "unpack it with lzop -d"}},
    {0, "\x1f\x9d"sv, {"compressed by compress", "unpack it with gzip -d"}},
    {0, "!<arch>\n"sv, {"a package or an archive of ar", no_image}},
    {0, "\xed\xab\xee\xdb"sv, {"an rpm package", no_image}},
    {0, "%PDF-"sv, {"a PDF document", no_image}},
    {0,
     "\x7f"
     "ELF"sv,
     {"a program", no_image}},
});

bool has_magic(std::span<const std::byte> bytes, std::size_t offset, std::string_view magic) {
  return bytes.size() >= offset && bytes.size() - offset >= magic.size() &&
         std::equal(magic.begin(), magic.end(), bytes.begin() + static_cast<std::ptrdiff_t>(offset),
                    [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

// What a server sends in place of an image that is not there.
bool is_markup(std::span<const std::byte> start) {
  std::string text;
  for (const std::byte byte : start.first(std::min<std::size_t>(start.size(), 64))) {
    text += static_cast<char>(std::tolower(std::to_integer<unsigned char>(byte)));
  }
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  text.erase(0, std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  return text.starts_with("<!doctype html") || text.starts_with("<html") ||
         text.starts_with("<?xml");
}

}  // namespace

std::optional<ForeignKind> recognise_foreign(std::span<const std::byte> start) {
  for (const Signature& signature : signatures) {
    if (has_magic(start, signature.offset, signature.magic)) return signature.kind;
  }
  if (is_markup(start)) return web_page;
  return std::nullopt;
}

std::optional<ForeignKind> recognise_by_end(std::span<const std::byte> end, std::uint64_t size) {
  if (dmg::has_magic(end)) return ForeignKind{"an Apple disk image (DMG)", from_file, true};
  for (const std::uint64_t bytes : {vhd::footer_bytes, vhd::short_footer_bytes}) {
    if (end.size() >= bytes && vhd::is_fixed_footer(end.last(bytes), size - bytes)) {
      return ForeignKind{"a fixed Hyper-V disk image (VHD)", from_file, true};
    }
  }
  return std::nullopt;
}

std::optional<ForeignKind> recognise_foreign(const io::File& file) {
  std::array<std::byte, foreign_probe_bytes> bytes{};
  const auto start = std::span(bytes).first(file.read_at(0, bytes));
  if (const auto kind = recognise_foreign(start)) return kind;
  const std::uint64_t size = file.size();
  if (size < bytes.size()) return std::nullopt;
  if (vhd::look_at_end(file) == vhd::Ending::other) return vhd_of_other_size;
  return std::nullopt;
}

void refuse_foreign(const std::string& name, const ForeignKind& kind, std::string_view place) {
  throw io::Error::refusal(
      name,
      fmt::format("is {}{}{}: {}; if these bytes are the disk's, say -f raw", kind.what, place,
                  kind.needs_file ? "" : ", which imgtool does not read", kind.remedy));
}

}  // namespace formats
