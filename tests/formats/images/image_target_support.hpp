// Writes patterns through an ImageTarget into a file, and reads them back through formats::Image.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "formats/images/image.hpp"
#include "formats/images/image_target.hpp"
#include "io/copier.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"
#include "io/worker_pool.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/pattern_source.hpp"
#include "tests/io/recording_observer.hpp"
#include "tests/io/temporary_folder.hpp"

namespace formats {

using Bytes = std::vector<std::byte>;

// How the lanes come to the target; nothing of it may be seen in the file.
struct Way {
  unsigned threads = 2;  // 0: the ring's own does the work
  unsigned lanes = 4;
  std::uint64_t chunks = 1;  // units of the target's granularity in each
  bool holes_as_data = false;
};

using MakeTarget = std::function<std::unique_ptr<ImageTarget>(io::Ring&, io::File&,
                                                              std::uint64_t size, io::WorkerPool*)>;

class ImageTargetTest : public io::EngineTest {
 protected:
  static io::Extent data(std::uint64_t begin, std::uint64_t end) {
    return {io::range_between(begin, end), io::ExtentKind::data};
  }
  static io::Extent hole(std::uint64_t begin, std::uint64_t end) {
    return {io::range_between(begin, end), io::ExtentKind::hole};
  }

  // Copies `extents` of a pattern into `target`.
  void fill(ImageTarget& target, io::PatternSource& source, const Way& way) {
    content_ = source.content();
    if (way.holes_as_data) source.be_data();
    std::vector<io::CopyTarget> targets(1);
    targets.front().target = &target;
    io::CopyOptions copy;
    copy.lanes = way.lanes;
    copy.chunk_size = way.chunks * target.granularity();
    io::RecordingObserver observer;
    io::StopFlag stop{0};
    io::Copier copier(ring(), source, targets, copy, observer, stop);
    copier.run({io::ByteRange{0, content_.size()}});
    if (targets.front().error) throw io::Error(*targets.front().error);
    io::run_task(ring(), target.finish());
  }

  // ... into a new file, and gives its path.
  std::string write(const MakeTarget& make, const std::vector<io::Extent>& extents,
                    const Way& way = {}) {
    const std::string path = folder_.path("image" + std::to_string(++files_));
    io::PatternSource source(ring(), extents);
    io::File file(path, O_RDWR | O_CREAT | O_EXCL);
    std::optional<io::WorkerPool> workers;
    if (way.threads > 0) workers.emplace(way.threads);
    const auto target = make(ring(), file, source.content().size(), workers ? &*workers : nullptr);
    fill(*target, source, way);
    EXPECT_EQ(target->file_bytes(), file.size());
    content_bytes_ = target->content_bytes();
    return path;
  }

  // All of the disk, which may end in a part of a sector more than was written.
  Bytes read(const std::string& path, std::uint64_t step = 1 * io::MiB) {
    const auto image = open_image(ring(), path, {});
    Bytes found(*image->size());
    for (std::uint64_t at = 0; at < found.size(); at += step) {
      const std::uint64_t length = std::min<std::uint64_t>(step, found.size() - at);
      io::run_task(ring(), image->read({at, length}, {std::span(found).subspan(at, length)}));
    }
    EXPECT_EQ(found.size(), io::align_up(content_.size(), 512));
    found.resize(content_.size());
    return found;
  }

  void expect_the_same_file_every_way(const MakeTarget& make,
                                      const std::vector<io::Extent>& extents) {
    const Bytes first = io::content_of(write(make, extents, {0, 1}));
    EXPECT_EQ(io::content_of(write(make, extents, {3, 8})), first);
    EXPECT_EQ(io::content_of(write(make, extents, {2, 3, 4})), first);
    EXPECT_EQ(io::content_of(write(make, extents, {2, 3, 1, true})), first);
  }

  io::TemporaryFolder folder_;
  int files_ = 0;
  Bytes content_;
  std::uint64_t content_bytes_ = 0;
};

}  // namespace formats
