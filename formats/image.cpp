#include "formats/image.hpp"

#include <utility>

#include <fcntl.h>
#include <fmt/format.h>

#include "formats/qcow2/reader.hpp"
#include "formats/raw.hpp"
#include "formats/reference.hpp"
#include "formats/simg/image.hpp"
#include "formats/streams/stream_image.hpp"
#include "formats/zst/image.hpp"
#include "formats/zst/label.hpp"
#include "io/error.hpp"

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
      return zst::open_zst(ring_, std::move(opened.file), options_);
    }
    if (is_stream(opened.format)) return open_file_stream(std::move(opened));
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

  std::unique_ptr<Image> open_file_stream(FormattedFile opened) {
    streams::StreamOptions options;
    options.stop = options_.stop;
    options.content_size = streams::stated_content_size(opened.file, opened.format);
    return std::make_unique<streams::StreamImage>(ring_, std::move(opened.file), opened.format,
                                                  std::move(options));
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
                                   std::vector<std::byte> start, const io::StopFlag* stop) {
  streams::StreamOptions options;
  if (format == Format::zst) options.content_size = zst::parse_label(start);
  options.already_read = std::move(start);
  options.stop = stop;
  return std::make_unique<streams::StreamImage>(ring, std::move(pipe), format, std::move(options));
}

}  // namespace formats
