#include "formats/images/raw_target.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>

#include "io/error.hpp"

namespace formats {
namespace {

constexpr std::uint64_t largest_file = (std::uint64_t{1} << 63) - 1;

io::FileTargetOptions file_options(const RawTargetOptions& options) {
  io::FileTargetOptions file;
  file.grows = true;
  file.starts_as_zeros = options.starts_as_zeros && !options.write_zeros;
  if (options.write_zeros) file.first_zero_method = io::ZeroMethod::write;
  return file;
}

}  // namespace

RawTarget::RawTarget(io::Ring& ring, io::File& file, std::optional<std::uint64_t> size,
                     const RawTargetOptions& options)
    : output_(file),
      size_(size),
      options_(options),
      file_(ring, file, largest_file, file_options(options)) {
  if (!size) return;
  if (file.size() < *size) file.truncate(*size);
  if (!options.set_space_aside || *size == 0) return;
  if (fallocate(file.fd(), 0, 0, static_cast<off_t>(*size)) != 0) {
    throw io::Error::system("setting space aside", file.path(), errno, io::ByteRange{0, *size});
  }
}

std::uint64_t RawTarget::zero_grain() const {
  return std::max(options_.smallest_hole, file_.zero_grain());
}

io::Task<> RawTarget::write(std::uint64_t offset, io::Buffer buffer) {
  co_await file_.write(offset, buffer);
  content_bytes_ += buffer.bytes.size();
  end_ = std::max<std::uint64_t>(end_, offset + buffer.bytes.size());
}

io::Task<> RawTarget::zero(io::ByteRange range) {
  co_await file_.zero(range);
  end_ = std::max(end_, range.end());
}

// The last sector was written whole.
io::Task<> RawTarget::finish() {
  end_ = std::max(end_, size_.value_or(0));
  output_.truncate(end_);
  co_return;
}

}  // namespace formats
