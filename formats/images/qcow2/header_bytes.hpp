// The bytes of a header while they are put together: fields in front, then extensions, then the
// name of the backing file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/bytes/big_endian.hpp"
#include "io/byte_range.hpp"

namespace formats::qcow2 {

class HeaderBytes {
 public:
  explicit HeaderBytes(std::uint64_t header_bytes) : bytes_(header_bytes) {}
  explicit HeaderBytes(std::vector<std::byte> fields) : bytes_(std::move(fields)) {}

  template <class T>
  void put(std::size_t offset, T value) {
    store_big_endian<T>(bytes_, offset, value);
  }
  template <class T>
  [[nodiscard]] T at(std::size_t offset) const {
    return load_big_endian<T>(bytes_, offset);
  }
  void extension(std::uint32_t type, std::span<const std::byte> content) {
    const std::size_t begin = bytes_.size();
    bytes_.resize(begin + 8 + io::align_up(content.size(), 8));
    put<std::uint32_t>(begin, type);
    put<std::uint32_t>(begin + 4, static_cast<std::uint32_t>(content.size()));
    std::copy(content.begin(), content.end(),
              bytes_.begin() + static_cast<std::ptrdiff_t>(begin) + 8);
  }
  void extension(std::uint32_t type, std::string_view text) {
    extension(type, std::as_bytes(std::span(text)));
  }
  void append(std::string_view text) {
    const auto content = std::as_bytes(std::span(text));
    bytes_.insert(bytes_.end(), content.begin(), content.end());
  }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  // `bytes` of them, not less than size(); zeros behind what was put in.
  [[nodiscard]] std::vector<std::byte> take(std::uint64_t bytes) && {
    bytes_.resize(bytes);
    return std::move(bytes_);
  }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace formats::qcow2
