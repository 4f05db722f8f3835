#include "imgtool/jobs/image_source.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "formats/images/foreign.hpp"
#include "formats/images/probe.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/report.hpp"
#include "io/error.hpp"
#include "io/image_lock.hpp"
#include "io/sequential_reader.hpp"

namespace imgtool {
namespace {

constexpr const char* standard_input = "standard input";

io::File open_file(const std::string& path) {
  if (path != "-") return io::File(path, O_RDONLY);
  const int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
  if (fd < 0) throw io::Error::system("open", standard_input, errno);
  return {io::FileDescriptor(fd), standard_input};
}

// A container that is damaged at its very start, or of a kind not known here, looks like a raw
// image; burning it would make a disk of garbage.
void refuse_misnamed(const std::string& path) {
  constexpr std::array<std::string_view, 12> suffixes = {
      ".gz", ".xz", ".bz2", ".zst", ".zip", ".7z", ".rar", ".lz4", ".lzo", ".lzma", ".Z", ".tgz"};
  for (const std::string_view suffix : suffixes) {
    if (!path.ends_with(suffix)) continue;
    throw io::Error(io::ErrorKind::refused, path,
                    fmt::format("is named {}, but is no such file that imgtool can read; if its "
                                "bytes are the disk's, say -f raw",
                                suffix));
  }
}

// Standard input may be a file of which another program has read a part.
bool can_seek(const io::File& file, io::FileKind kind) {
  return (kind == io::FileKind::regular || kind == io::FileKind::block_device) &&
         lseek(file.fd(), 0, SEEK_CUR) == 0;
}

}  // namespace

void note_writers(const io::File& file) {
  if (!io::excluded_by_others(file.fd(), io::ImageUse::reading)) return;
  complain(
      fmt::format("note: {} is being written by another program: what is read of it may be torn",
                  terminal_text(file.path())));
}

void note_writers(const formats::Image& image) {
  for (const io::File* file : image.files()) note_writers(*file);
}

ImageSource::ImageSource(io::Ring& ring, const std::string& path, formats::OpenOptions options,
                         const io::StopFlag& stop, unsigned threads)
    : workers_(threads > 0 ? threads : std::max(1U, std::thread::hardware_concurrency())),
      options_(std::move(options)) {
  io::File file = open_file(path);
  const io::FileStatus status = file.status();
  if (can_seek(file, status.kind)) {
    options_.workers = &workers_;
    // O_DIRECT would stay on our caller's file.
    if (path == "-") options_.page_cache = formats::PageCache::used;
    options_.stop = &stop;
    image_ = formats::open_image(ring, std::move(file), options_);
    const bool raw_file = image_->format() == formats::Format::raw && !options_.format &&
                          status.kind == io::FileKind::regular;
    if (raw_file) refuse_misnamed(path);
    for (const io::File* opened : image_->files()) files_.push_back({opened, opened->status()});
    files_.front().status = status;  // from before its headers were read
    if (options_.force_share) note_writers(*image_);
  } else if (status.kind == io::FileKind::pipe || path == "-") {
    open_stream(ring, std::move(file), stop);
  } else {
    throw io::Error(io::ErrorKind::unsupported, path, "is neither a file, nor a disk, nor a pipe");
  }
}

void ImageSource::open_stream(io::Ring& ring, io::File file, const io::StopFlag& stop) {
  options_.stop = &stop;
  auto start = io::read_start(file, formats::probe_bytes, &stop);
  const formats::Format format = options_.format.value_or(formats::probe(start));
  if (formats::can_come_through_pipe(format, start) || !options_.spool.folder.empty()) {
    image_ = formats::open_stream(ring, std::move(file), format, std::move(start), options_);
    files_.push_back({image_->files().front(), image_->files().front()->status()});
    return;
  }
  if (const auto kind = formats::recognise_foreign(start); kind && !options_.format) {
    formats::refuse_foreign(file.path(), *kind, " from a pipe");
  }
  if (format != formats::Format::raw || !options_.snapshot.empty()) {
    throw io::Error(
        io::ErrorKind::unsupported, file.path(),
        fmt::format("is {} and a pipe; images of that kind can only be read from a file (--spool "
                    "DIR makes one in that folder)",
                    name_of(format)));
  }
  if (!options_.member.empty()) {
    throw io::Error::refusal(file.path(), "is no archive, and has no members");
  }
  pipe_ = std::move(file);
  stream_ = std::make_unique<io::PipeSource>(ring, pipe_, stop, std::move(start));
}

void ImageSource::refuse_empty(std::uint64_t size) const {
  if (size != 0) return;
  const std::string& name = image_ ? image_->name() : stream_->name();
  if (stream_) throw io::Error::format(name, 0, "ended before its first byte");
  throw io::Error::refusal(name, "is empty: there is no disk in it");
}

std::vector<std::string> ImageSource::paths() const {
  std::vector<std::string> paths;
  const auto add = [&paths](const io::File& file) {
    paths.push_back(file.path() == standard_input ? "/proc/self/fd/0" : file.path());
  };
  for (const OpenedFile& opened : files_) add(*opened.file);
  if (stream_) add(pipe_);
  return paths;
}

std::string ImageSource::version() const {
  std::string text;
  for (const OpenedFile& opened : files_) {
    text += fmt::format("{}changed at {} ns", text.empty() ? "" : ", ", opened.status.modified_ns);
  }
  if (!options_.snapshot.empty()) text += ", snapshot " + options_.snapshot;
  return text;
}

void ImageSource::check_end_of_pipe() const {
  const auto kind = formats::recognise_by_end(stream_->last_bytes(), stream_->size().value_or(0));
  if (!kind) return;
  throw io::Error(io::ErrorKind::unsupported, stream_->name(),
                  fmt::format("is {}, as its last bytes say; from a pipe it can only be read when "
                              "--spool DIR unpacks it, or as a raw disk with -f raw",
                              kind->what));
}

void ImageSource::check_unchanged() const {
  if (image_) image_->confirm();
  if (stream_ && !options_.format) check_end_of_pipe();
  for (const auto& [file, before] : files_) {
    if (before.kind != io::FileKind::regular) continue;
    const io::FileStatus now = file->status();
    if (now.size == before.size && now.modified_ns == before.modified_ns) continue;
    throw io::Error(io::ErrorKind::mismatch, file->path(),
                    "was changed while it was read; start again when nothing writes to it");
  }
}

}  // namespace imgtool
