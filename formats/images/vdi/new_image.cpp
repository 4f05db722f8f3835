#include "formats/images/vdi/new_image.hpp"

#include <cassert>
#include <cstring>
#include <string_view>

#include "formats/bytes/little_endian.hpp"
#include "formats/images/vdi/fields.hpp"

namespace formats::vdi {
namespace {

constexpr std::uint64_t map_at = 1 * io::MiB;
constexpr std::uint32_t absent_block = ~std::uint32_t{0};
constexpr std::string_view text = "<<< imgtool VirtualBox Disk Image >>>\n";

class DynamicLayout final : public BlockLayout {
 public:
  explicit DynamicLayout(std::uint64_t size)
      : size_(io::align_up(size, sector)),
        map_(io::align_up(size, new_block_bytes) / new_block_bytes, absent_block),
        data_at_(io::align_up(map_at + map_.size() * sizeof(std::uint32_t), new_block_bytes)) {}

  [[nodiscard]] std::uint64_t block_size() const override { return new_block_bytes; }

  std::uint64_t place(std::uint64_t index) override {
    std::uint32_t& entry = map_.at(index);
    if (entry == absent_block) entry = used_++;
    return data_at_ + entry * new_block_bytes;
  }

  [[nodiscard]] std::uint64_t file_bytes() const override {
    return data_at_ + used_ * new_block_bytes;
  }

  [[nodiscard]] std::vector<io::Patch> finish(const ContentIdentity& identity) const override {
    std::vector<std::byte> map(map_.size() * sizeof(std::uint32_t));
    for (std::size_t i = 0; i < map_.size(); ++i) {
      store_little_endian(std::span<std::byte>(map), i * sizeof(std::uint32_t), map_[i]);
    }
    return {{0, header(identity)}, {map_at, std::move(map)}};
  }

 private:
  [[nodiscard]] std::vector<std::byte> header(const ContentIdentity& identity) const {
    constexpr std::uint32_t size_of_header = 400;  // from header_size on, as VirtualBox writes it
    std::vector<std::byte> bytes(header_bytes);
    const std::span<std::byte> all(bytes);
    const auto put = [all](std::size_t place, std::uint64_t value) {
      store_little_endian(all, place, static_cast<std::uint32_t>(value));
    };
    std::memcpy(all.data(), text.data(), text.size());
    put(at::magic, magic);
    put(at::version, version_1_1);
    put(at::header_size, size_of_header);
    put(at::kind, static_cast<std::uint64_t>(Kind::dynamic));
    put(at::map_offset, map_at);
    put(at::data_offset, data_at_);
    put(at::sector_size, sector);
    store_little_endian(all, at::virtual_size, size_);
    put(at::block_size, new_block_bytes);
    put(at::blocks, map_.size());
    put(at::used_blocks, used_);
    // VirtualBox refuses those that are null.
    const Uuid create = identity.uuid(size_, 0);
    const Uuid modify = identity.uuid(size_, 1);
    std::copy(create.begin(), create.end(), bytes.begin() + at::create_id);
    std::copy(modify.begin(), modify.end(), bytes.begin() + at::modify_id);
    put(at::logical_sector_size, sector);
    return bytes;
  }

  std::uint64_t size_;
  std::vector<std::uint32_t> map_;  // which of the blocks in the file
  std::uint64_t data_at_;
  std::uint32_t used_ = 0;
};

}  // namespace

std::unique_ptr<BlockLayout> new_image(std::uint64_t size) {
  assert(size <= largest_disk);
  return std::make_unique<DynamicLayout>(size);
}

}  // namespace formats::vdi
