// An XFS on an OverlayDisk. Anything but a map that lies inside the disk or an io::Error is a bug.
#include <cstdint>

#include "formats/big_endian.hpp"
#include "formats/crc32c.hpp"
#include "formats/filesystems/xfs.hpp"
#include "tests/fuzz/probe_once.hpp"

namespace {

constexpr std::uint32_t magic_of(const char (&text)[5]) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(text[i]);
  return value;
}

void set_checksum(std::span<std::byte> bytes, std::size_t size, std::size_t field) {
  if (size < field + 4 || size > bytes.size()) return;
  formats::store_little_endian<std::uint32_t>(bytes, field, 0);
  formats::store_little_endian(bytes, field, formats::crc32c(bytes.first(size)));
}

// Makes checksums right, or no input that was changed would get past them.
class Checksums {
 public:
  void operator()(io::ByteRange /*range*/, std::span<std::byte> bytes) {
    for (; bytes.size() >= 512; bytes = bytes.subspan(512)) {
      const auto magic = formats::load_big_endian<std::uint32_t>(bytes, 0);
      if (magic == magic_of("XFSB")) {
        block_size_ = formats::load_big_endian<std::uint32_t>(bytes, 4);
        sector_size_ = formats::load_big_endian<std::uint16_t>(bytes, 102);
        set_checksum(bytes, sector_size_, 224);
      } else if (magic == magic_of("XAGF")) {
        set_checksum(bytes, sector_size_, 216);
      } else if (magic == magic_of("AB3B") || magic == magic_of("AB3C")) {
        set_checksum(bytes, block_size_, 52);
      }
    }
  }

 private:
  std::size_t block_size_ = 0;
  std::size_t sector_size_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tests::probe_once({data, size}, formats::filesystems::probe_xfs, Checksums());
  return 0;
}
