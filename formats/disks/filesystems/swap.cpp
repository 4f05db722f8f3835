#include "formats/disks/filesystems/swap.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/uuid_text.hpp"

namespace formats::filesystems {
namespace {

constexpr std::size_t signature_size = 10;
constexpr std::size_t at_last_page = 1028;
constexpr std::size_t header_end = 4096;  // all fields lie in front of it, whatever the page size
constexpr std::array<std::uint64_t, 5> page_sizes{4096, 8192, 16384, 32768, 65536};

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool is_hibernated(std::string_view signature) {
  constexpr std::array<std::string_view, 4> marks{"S1SUSPEND", "S2SUSPEND", "ULSUSPEND",
                                                  "LINHIB0001"};
  return std::any_of(marks.begin(), marks.end(),
                     [&](std::string_view mark) { return signature.starts_with(mark); });
}

FileSystem hibernated(std::uint64_t size) {
  return keep_whole(std::string(hibernated_type), size, Reason::hibernated,
                    "holds a hibernated system", "start that system and shut it down");
}

std::uint64_t size_in(std::span<const std::byte> header, std::uint64_t page_size) {
  return (std::uint64_t{load_little_endian<std::uint32_t>(header, at_last_page)} + 1) * page_size;
}

// The pages behind the first one, without those that are marked as bad.
std::vector<io::ByteRange> free_pages(std::span<const std::byte> header, std::uint64_t page_size,
                                      std::uint64_t last_page) {
  constexpr std::size_t bad_pages = 1536;
  std::set<std::uint64_t> bad;
  const auto count = load_little_endian<std::uint32_t>(header, 1032);
  for (std::size_t i = 0; i < count; ++i) {
    bad.insert(load_little_endian<std::uint32_t>(header, bad_pages + 4 * i));
  }
  bad.insert(last_page + 1);
  std::vector<io::ByteRange> free;
  free.reserve(bad.size());
  std::uint64_t page = 1;
  for (const std::uint64_t stop : bad) {
    if (stop > last_page + 1) break;
    if (stop > page) free.push_back({page * page_size, (stop - page) * page_size});
    page = std::max(page, stop + 1);
  }
  return free;
}

FileSystem parse(std::span<const std::byte> header, std::uint64_t page_size, std::uint64_t volume) {
  const auto version = load_little_endian<std::uint32_t>(header, 1024);
  const std::uint64_t last_page = load_little_endian<std::uint32_t>(header, at_last_page);
  const auto bad_count = load_little_endian<std::uint32_t>(header, 1032);
  if (version != 1) {
    return keep_whole("swap", volume, Reason::unsupported,
                      "its version is not 1: made on another kind of machine", "");
  }
  if (last_page == 0 || bad_count > (header_end - 1536) / 4) {
    return keep_whole("swap", volume, Reason::damaged, "its header is damaged",
                      "make it anew (mkswap)");
  }
  FileSystem swap;
  swap.type = "swap";
  swap.uuid = uuid_text(header.subspan(1036, 16));
  swap.label = text_up_to_zero(header.subspan(1052, 16));
  swap.size = size_in(header, page_size);
  swap.block_size = page_size;
  swap.free = free_pages(header, page_size, last_page);
  swap.witnesses = {{0, page_size}};
  return swap;
}

}  // namespace

std::uint64_t claimed_swap_size(std::span<const std::byte> start) {
  for (const std::uint64_t page_size : page_sizes) {
    if (page_size > start.size()) break;
    const auto signature = text_of(start.subspan(page_size - signature_size, signature_size));
    if (signature == "SWAPSPACE2") return size_in(start, page_size);
  }
  return 0;
}

std::optional<FileSystem> probe_swap(DiskView& volume, MapCheck /*check*/) {
  if (volume.size() < 2 * header_end) return std::nullopt;
  const std::uint64_t readable = std::min(volume.size(), page_sizes.back());
  const std::vector<std::byte> start = volume.read(0, readable);
  const std::span<const std::byte> bytes = start;

  using namespace std::string_view_literals;
  if (text_of(bytes).starts_with("\xed\xc3\x02\xe9\x98\x56\xe5\x0c"sv)) {  // TuxOnIce
    return hibernated(volume.size());
  }
  std::optional<FileSystem> found;
  for (const std::uint64_t page_size : page_sizes) {
    if (page_size > readable) break;
    const auto signature = text_of(bytes.subspan(page_size - signature_size, signature_size));
    if (is_hibernated(signature)) return hibernated(volume.size());
    if (signature == "SWAP-SPACE") {
      return keep_whole("swap", volume.size(), Reason::damaged,
                        "is of a version that nothing uses any more", "make it anew (mkswap)");
    }
    if (signature != "SWAPSPACE2") continue;
    if (found) {
      return keep_whole("swap", volume.size(), Reason::damaged, "has headers for two page sizes",
                        "make it anew (mkswap)");
    }
    found = parse(bytes.first(header_end), page_size, volume.size());
  }
  return found;
}

}  // namespace formats::filesystems
