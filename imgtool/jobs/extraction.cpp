#include "imgtool/jobs/extraction.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <set>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "imgtool/jobs/entry_list.hpp"
#include "imgtool/jobs/file_content.hpp"
#include "io/error.hpp"
#include "io/output_file.hpp"
#include "io/output_folder.hpp"

namespace imgtool {
namespace {

using formats::filesystems::Entry;
using formats::filesystems::FileMap;
using formats::filesystems::Node;
using formats::filesystems::NodeId;
using formats::filesystems::NodeKind;
using Bytes = std::span<const std::byte>;

constexpr std::size_t deepest = 200;
constexpr std::uint64_t most_files = std::uint64_t{16} << 20;

// Not the bits that let others act as its owner.
mode_t mode_of(const Node& node) { return node.permissions & 0777U; }

void set_times(int fd, const Node& node) {
  if (node.modified == 0) return;
  const timespec then{.tv_sec = static_cast<time_t>(node.modified), .tv_nsec = 0};
  const timespec times[2] = {then, then};
  (void)futimens(fd, times);  // a file system that cannot have this time has another
}

// Whether it is this one file that cannot be made, and others can.
bool is_about_the_name(int error) {
  return error == EEXIST || error == ENAMETOOLONG || error == EINVAL || error == EILSEQ ||
         error == ELOOP || error == ENOTDIR;
}

class Extraction {
 public:
  Extraction(InnerFileSystem& files, const io::StopFlag& stop) : files_(files), stop_(stop) {}

  void write_file(const io::File& file, NodeId id, const Node& node) {
    const FileMap map = files_.tree().map_of(id);
    read_content(files_.view(), map, [&](std::uint64_t offset, Bytes bytes) {
      io::throw_if_stopped(stop_, files_.view().name());
      file.write_at(offset, bytes);
    });
    file.truncate(map.size);
    set_times(file.fd(), node);
    ++done_.files;
    done_.bytes += map.size;
  }

  // All that is in `id`, into `folder`. Folders in folders wait on a stack.
  void fill(const io::FileDescriptor& folder, NodeId id, const std::string& path) {
    enter(id);
    std::vector<Frame> frames;
    push(frames, folder.get(), io::FileDescriptor(), id, path);
    while (!frames.empty()) {
      Frame& frame = frames.back();
      if (frame.next == frame.entries.size()) {
        leave(frame);
        frames.pop_back();
        continue;
      }
      const Entry entry = frame.entries[frame.next++];
      io::throw_if_stopped(stop_, files_.view().name());
      const std::string name = frame.path + '/' + std::string(entry.name);
      try {
        one(frames, entry, name);
      } catch (const io::Error& error) {
        if (error.kind() == io::ErrorKind::cancelled || error.kind() == io::ErrorKind::refused) {
          throw;
        }
        if (error.kind() == io::ErrorKind::system && !is_about_the_name(error.error_number()))
          throw;
        fail(name, error.what());
      }
    }
  }

  [[nodiscard]] Extracted take() { return std::move(done_); }
  void make_link(int folder, const std::string& name, NodeId id) {
    const std::string text = files_.link_text(id);
    if (text.empty() || text.find('\0') != std::string::npos) {
      throw io::Error(io::ErrorKind::format, name, "is a link to no name that can be");
    }
    if (symlinkat(text.c_str(), folder, name.c_str()) != 0) {
      throw io::Error::system("make the link", name, errno);
    }
    ++done_.links;
  }
  void skip_special() { ++done_.special; }

 private:
  struct Frame {
    io::FileDescriptor own;
    int folder;
    NodeId id;
    EntryList entries;
    std::string path;
    std::size_t next = 0;
  };

  void push(std::vector<Frame>& frames, int fd, io::FileDescriptor own, NodeId id,
            const std::string& path) {
    EntryList entries(files_.tree(), id, files_.view().name());
    frames.push_back({std::move(own), fd, id, std::move(entries), path});
    ++done_.folders;
  }

  void leave(const Frame& frame) {
    const Node node = files_.tree().look_at(frame.id);
    (void)fchmod(frame.folder, mode_of(node));
    set_times(frame.folder, node);
  }

  // Each folder once, or folders in each other could make work without end.
  void enter(NodeId id) {
    if (!entered_.insert(id).second) {
      throw io::Error(io::ErrorKind::format, files_.view().name(),
                      "a folder is in two places, or in itself");
    }
  }

  void fail(const std::string& name, const std::string& why) {
    ++done_.failed;
    if (done_.problems.size() < most_problems) done_.problems.push_back(name + ": " + why);
  }

  void one(std::vector<Frame>& frames, const Entry& entry, const std::string& path) {
    if (++seen_ > most_files) {
      throw io::Error::refusal(files_.view().name(),
                               "has more files than imgtool takes out at once");
    }
    const std::string name(entry.name);
    if (name.find('/') != std::string::npos || name.find('\0') != std::string::npos) {
      return fail(path, "no file can have this name");
    }
    const Node node = files_.tree().look_at(entry.id);
    const int folder = frames.back().folder;
    switch (node.kind) {
      case NodeKind::file:
        return new_file(folder, name, entry.id, node);
      case NodeKind::folder:
        if (frames.size() == deepest) return fail(path, "lies deeper than imgtool goes");
        return new_folder(frames, name, entry.id, path);
      case NodeKind::link:
        return make_link(folder, name, entry.id);
      default:
        return skip_special();
    }
  }

  void new_file(int folder, const std::string& name, NodeId id, const Node& node) {
    constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    io::FileDescriptor fd(openat(folder, name.c_str(), flags, 0600));
    if (!fd) throw io::Error::system("create", name, errno);
    const io::File file(std::move(fd), name);
    try {
      write_file(file, id, node);
    } catch (...) {
      unlinkat(folder, name.c_str(), 0);  // no half of a file
      throw;
    }
    (void)fchmod(file.fd(), mode_of(node));
  }

  void new_folder(std::vector<Frame>& frames, const std::string& name, NodeId id,
                  const std::string& path) {
    enter(id);
    const int folder = frames.back().folder;
    if (mkdirat(folder, name.c_str(), 0700) != 0) throw io::Error::system("mkdir", name, errno);
    constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    io::FileDescriptor own(openat(folder, name.c_str(), flags));
    if (!own) throw io::Error::system("open", name, errno);
    const int fd = own.get();
    push(frames, fd, std::move(own), id, path);
  }

  InnerFileSystem& files_;
  const io::StopFlag& stop_;
  std::set<NodeId> entered_;
  std::uint64_t seen_ = 0;
  Extracted done_;
};

Extracted extract_link(Extraction& work, NodeId id, const std::string& out, bool force) {
  struct stat old {};
  const bool exists = lstat(out.c_str(), &old) == 0;
  if (exists && !S_ISREG(old.st_mode) && !S_ISLNK(old.st_mode)) {
    throw io::Error::refusal(out, "is neither a file nor a link, so it is not replaced");
  }
  const std::string partial = out + ".imgtool-partial";
  work.make_link(AT_FDCWD, partial, id);
  if (renameat2(AT_FDCWD, partial.c_str(), AT_FDCWD, out.c_str(), force ? 0 : RENAME_NOREPLACE) !=
      0) {
    const int error = errno;
    unlink(partial.c_str());
    if (error == EEXIST) throw io::Error::refusal(out, "exists already; --force replaces it");
    throw io::Error::system("rename", partial, error);
  }
  return work.take();
}

void write_all(int fd, const std::string& name, Bytes bytes, const io::StopFlag& stop) {
  while (!bytes.empty()) {
    io::throw_if_stopped(stop, name);
    const ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw io::Error::system("write", name, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

}  // namespace

Extracted extract(InnerFileSystem& files, NodeId id, const std::string& out, bool force,
                  const io::StopFlag& stop) {
  const Node node = files.tree().look_at(id);
  Extraction work(files, stop);
  if (node.kind == NodeKind::link) return extract_link(work, id, out, force);
  if (node.kind == NodeKind::folder) {
    io::OutputFolder output(out);
    work.fill(output.folder(), id, "");
    output.publish();
    return work.take();
  }
  if (node.kind != NodeKind::file) {
    throw io::Error(io::ErrorKind::unsupported, files.view().name(),
                    "what this names is a device, a pipe or a socket, and has no content");
  }
  io::OutputFile output(out, force, io::OutputFile::Start::empty, mode_of(node));
  work.write_file(output.file(), id, node);
  output.publish();
  return work.take();
}

void copy_to_stream(InnerFileSystem& files, NodeId id, int fd, const std::string& name,
                    const io::StopFlag& stop) {
  static constexpr std::array<std::byte, std::size_t{64} * 1024> zeros{};
  const NodeKind kind = files.tree().look_at(id).kind;
  if (kind != NodeKind::file) {
    throw io::Error(io::ErrorKind::format, files.view().name(),
                    kind == NodeKind::folder ? "what this names is a folder; imgtool ls lists it"
                                             : "what this names is no file");
  }
  std::uint64_t written = 0;
  const auto fill_up_to = [&](std::uint64_t offset) {
    while (written < offset) {
      const std::uint64_t count = std::min<std::uint64_t>(zeros.size(), offset - written);
      write_all(fd, name, Bytes(zeros).first(count), stop);
      written += count;
    }
  };
  const FileMap map = files.tree().map_of(id);
  read_content(files.view(), map, [&](std::uint64_t offset, Bytes bytes) {
    fill_up_to(offset);
    write_all(fd, name, bytes, stop);
    written += bytes.size();
  });
  fill_up_to(map.size);
}

}  // namespace imgtool
