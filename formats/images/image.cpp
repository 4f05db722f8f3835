#include "formats/images/image.hpp"

#include <utility>

#include <fcntl.h>
#include <fmt/format.h>

#include "formats/images/block_formats.hpp"
#include "formats/images/block_image.hpp"
#include "formats/images/foreign.hpp"
#include "formats/images/qcow2/reader.hpp"
#include "formats/images/raw.hpp"
#include "formats/images/reference.hpp"
#include "formats/images/simg/image.hpp"
#include "formats/images/streams/stream_image.hpp"
#include "formats/images/zst/image.hpp"
#include "formats/images/zst/label.hpp"
#include "io/buffer_pool.hpp"
#include "io/error.hpp"
#include "io/image_lock.hpp"
#include "io/task_group.hpp"

namespace formats {
namespace {

// Opens an image and, where that is allowed, what it names.
class Opener {
 public:
  Opener(io::Ring& ring, const OpenOptions& options) : ring_(ring), options_(options) {}

  std::unique_ptr<Image> open(io::File file) {
    return open_as(chain_.begin(std::move(file), options_.format), options_.snapshot,
                   options_.page_cache);
  }

 private:
  std::unique_ptr<Image> open_as(FormattedFile opened, const std::string& snapshot,
                                 PageCache page_cache) {
    if (!options_.force_share) {
      io::lock_image(opened.file, io::ImageUse::reading, options_.way_past_lock);
    }
    if (opened.format == Format::qcow2) {
      return open_qcow2(std::move(opened.file), snapshot, page_cache);
    }
    if (!snapshot.empty()) {
      throw io::Error(io::ErrorKind::format, opened.file.path(),
                      fmt::format("is {}, and has no snapshots", name_of(opened.format)));
    }
    if (opened.format == Format::simg) {
      return std::make_unique<simg::SimgImage>(ring_, std::move(opened.file), options_);
    }
    if (opened.format == Format::zst) {
      auto image = zst::open_zst(ring_, std::move(opened.file), options_);
      if (!options_.format) refuse_foreign_content(*image);
      return image;
    }
    if (is_stream(opened.format)) return open_file_stream(std::move(opened));
    if (is_block_format(opened.format)) return open_blocks(std::move(opened), page_cache);
    const bool past_cache = page_cache == PageCache::bypassed ||
                            (page_cache == PageCache::used_if_warm && !opened.file.mostly_cached());
    return std::make_unique<RawImage>(ring_, std::move(opened.file), past_cache);
  }

  std::unique_ptr<Image> open_qcow2(io::File file, const std::string& snapshot,
                                    PageCache page_cache) {
    qcow2::ReaderOptions options;
    options.layout_only = options_.layout_only;
    options.snapshot = snapshot;
    options.workers = options_.workers;
    options.direct = page_cache != PageCache::used && !file.mostly_cached();
    if (options_.follow_references) {
      options.open_reference = [this, from = file.path()](const std::string& name,
                                                          const std::string& stated_format) {
        auto image = open_as(chain_.open_next(from, name, stated_format), {}, PageCache::used);
        chain_.leave();
        return image;
      };
    }
    return std::make_unique<qcow2::Qcow2Image>(ring_, std::move(file), options);
  }

  std::unique_ptr<Image> open_blocks(FormattedFile opened, PageCache page_cache) {
    auto file = std::make_unique<io::File>(std::move(opened.file));
    auto map = open_block_map(*file, opened.format);
    const bool direct = page_cache != PageCache::used && !file->mostly_cached();
    return std::make_unique<BlockImage>(ring_, opened.format, std::move(file), std::move(map),
                                        direct, options_.workers);
  }

  std::unique_ptr<Image> open_file_stream(FormattedFile opened) {
    streams::StreamOptions options;
    options.stop = options_.stop;
    options.any_content = options_.format.has_value();
    options.content_size = streams::stated_content_size(opened.file, opened.format);
    return std::make_unique<streams::StreamImage>(ring_, std::move(opened.file), opened.format,
                                                  std::move(options));
  }

  // A stream sees to it when its first bytes are read.
  void refuse_foreign_content(Image& image) {
    if (!image.seekable() || image.size().value_or(0) < foreign_probe_bytes) return;
    const io::AlignedMemory memory(foreign_probe_bytes);
    const io::ByteRange start{0, foreign_probe_bytes};
    (void)io::run_task(ring_, image.read(start, memory.buffer()));
    const auto kind = recognise_foreign(memory.buffer().bytes.first(foreign_probe_bytes));
    if (kind) refuse_foreign(image.name(), *kind, " inside zst");
  }

  io::Ring& ring_;
  const OpenOptions& options_;
  ReferenceChain chain_;
};

}  // namespace

std::unique_ptr<Image> open_image(io::Ring& ring, const std::string& path,
                                  const OpenOptions& options) {
  return open_image(ring, io::File(path, O_RDONLY), options);
}

std::unique_ptr<Image> open_image(io::Ring& ring, io::File file, const OpenOptions& options) {
  return Opener(ring, options).open(std::move(file));
}

std::unique_ptr<Image> open_stream(io::Ring& ring, io::File pipe, Format format,
                                   std::vector<std::byte> start, const OpenOptions& opening) {
  streams::StreamOptions options;
  options.any_content = opening.format.has_value();
  options.stop = opening.stop;
  if (format == Format::zst) options.content_size = zst::parse_label(start);
  options.already_read = std::move(start);
  return std::make_unique<streams::StreamImage>(ring, std::move(pipe), format, std::move(options));
}

}  // namespace formats
