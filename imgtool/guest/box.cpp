#include "imgtool/guest/box.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "imgtool/guest/box_inside.hpp"
#include "imgtool/guest/trouble.hpp"
#include "io/byte_range.hpp"
#include "io/memory_source.hpp"
#include "io/scratch_overlay.hpp"

namespace imgtool::guest {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int tick_ms = 100;      // how often the clock and the stop flag are looked at
constexpr int last_ticks_ms = 1;  // while the processes end

io::Error box_trouble(std::string_view what) {
  return {io::ErrorKind::system, "the box", std::string(what)};
}

struct Pipe {
  io::FileDescriptor reader, writer;

  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw io::Error::system("pipe", "the box", errno);
    reader = io::FileDescriptor(ends[0]);
    writer = io::FileDescriptor(ends[1]);
    (void)::fcntl(reader.get(), F_SETFL, O_NONBLOCK);
  }
};

struct Channel {
  io::FileDescriptor here, there;

  Channel() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
      throw io::Error::system("socketpair", "the box", errno);
    }
    here = io::FileDescriptor(ends[0]);
    there = io::FileDescriptor(ends[1]);
  }
};

// What a command says: its first or its last words, whatever comes between.
class Heard {
 public:
  enum class Keep : std::uint8_t { begin, end };
  Heard(io::FileDescriptor pipe, Keep keep) : pipe_(std::move(pipe)), keep_(keep) {}

  [[nodiscard]] int fd() const { return pipe_.get(); }

  void hear() {
    std::array<char, 65536> words;  // NOLINT: filled before it is read
    ssize_t count = 0;
    while ((count = ::read(pipe_.get(), words.data(), words.size())) > 0) {
      add({words.data(), static_cast<std::size_t>(count)});
    }
    if (count == 0) pipe_ = io::FileDescriptor();  // all writers are gone
  }
  [[nodiscard]] std::string text() const {
    if (keep_ == Keep::begin || text_.size() <= most_output) return text_;
    return text_.substr(text_.size() - most_output);
  }

 private:
  void add(std::string_view words) {
    if (keep_ == Keep::begin) words = words.substr(0, most_output - text_.size());
    text_ += words;
    if (text_.size() > 2 * most_output) text_.erase(0, text_.size() - most_output);
  }

  io::FileDescriptor pipe_;
  Keep keep_;
  std::string text_;
};

// A command that runs in its box, seen from outside.
class Visit {
 public:
  Visit(io::Ring& ring, const BoxOptions& options, std::span<const BoxFile> files)
      : ring_(ring),
        files_(files),
        out_(std::move(out_pipe_.reader), Heard::Keep::begin),
        err_(std::move(err_pipe_.reader), Heard::Keep::end),
        deadline_(Clock::now() + options.time_limit) {}
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;
  ~Visit() {
    kill();
    views_.clear();  // what waits for an answer of them gets an error
    while (process_ > 0 && !reap()) (void)::poll(nullptr, 0, last_ticks_ms);
  }

  void start(const BoxOptions& options, const std::string& command) {
    const BoxEntry entry{options,
                         command,
                         files_,
                         ::getpid(),
                         out_pipe_.writer.get(),
                         err_pipe_.writer.get(),
                         channel_.there.get()};
    process_ = ::fork();
    if (process_ < 0) throw io::Error::system("fork", "the box", errno);
    if (process_ == 0) enter_box(entry);
    for (io::FileDescriptor* end : {&out_pipe_.writer, &err_pipe_.writer, &channel_.there}) {
      *end = io::FileDescriptor();
    }
  }

  CommandResult wait(const io::StopFlag& stop) {
    while (channel_.here) {
      attend(tick_ms);
      refuse_to_go_on(stop);
    }
    // Their mounts go with them, and may ask something until then.
    while (!reap()) attend(last_ticks_ms);
    attend(0);
    refuse_to_go_on(stop);
    if (!failure_.empty()) throw box_trouble(failure_);
    if (!status_) throw box_trouble("it was ended from outside");
    CommandResult result;
    result.code = WIFSIGNALED(*status_) ? signal_codes + WTERMSIG(*status_) : WEXITSTATUS(*status_);
    result.out = out_.text();
    result.err = err_.text();
    return result;
  }

 private:
  void refuse_to_go_on(const io::StopFlag& stop) {
    io::throw_if_stopped(stop, "the box");
    for (const io::FileView& view : views_) {
      if (view.failure()) throw io::Error(*view.failure());
    }
    if (Clock::now() > deadline_) throw box_trouble("a program took too long, and was ended");
  }

  void attend(int timeout_ms) {
    std::vector<pollfd> asked = {
        {out_.fd(), POLLIN, 0}, {err_.fd(), POLLIN, 0}, {channel_.here.get(), POLLIN, 0}};
    for (const io::FileView& view : views_) asked.push_back({view.fd(), POLLIN, 0});
    if (::poll(asked.data(), asked.size(), timeout_ms) <= 0) return;
    for (std::size_t i = 0; i < views_.size(); ++i) {
      if (asked[i + 3].revents != 0) (void)views_[i].serve();
    }
    if (asked[0].revents != 0) out_.hear();
    if (asked[1].revents != 0) err_.hear();
    if (asked[2].revents != 0) take_message();
  }

  void take_message() {
    std::array<char, longest_box_message> text{};
    std::array<char, CMSG_SPACE(most_box_files * sizeof(int))> control{};
    iovec part{text.data(), text.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t count = ::recvmsg(channel_.here.get(), &message, MSG_CMSG_CLOEXEC);
    if (count <= 0) {
      channel_.here = io::FileDescriptor();
      return;
    }
    const std::string_view said(text.data() + 1, static_cast<std::size_t>(count) - 1);
    switch (static_cast<BoxWord>(text[0])) {
      case BoxWord::views:
        take_views(message);
        return;
      case BoxWord::failed:
        failure_ = said;
        return;
      case BoxWord::ended:
        status_ = 0;
        std::memcpy(&*status_, said.data(), std::min(said.size(), sizeof(int)));
        return;
    }
  }

  void take_views(msghdr& message) {
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < std::min(count, files_.size()); ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      views_.emplace_back(ring_, files_[i].content, io::FileDescriptor(fd));
    }
  }

  void kill() const {
    if (process_ > 0) (void)::kill(process_, SIGTERM);  // it waits until nobody is inside
  }
  bool reap() {
    if (process_ > 0 && ::waitpid(process_, nullptr, WNOHANG) == 0) return false;
    process_ = 0;
    return true;
  }

  io::Ring& ring_;
  std::span<const BoxFile> files_;
  Pipe out_pipe_, err_pipe_;
  Channel channel_;
  Heard out_, err_;
  Clock::time_point deadline_;
  pid_t process_ = 0;
  std::vector<io::FileView> views_;
  std::string failure_;
  std::optional<int> status_;
};

}  // namespace

Box::Box(io::Ring& ring, const io::StopFlag& stop, BoxOptions options)
    : ring_(ring), stop_(stop), options_(std::move(options)) {}

std::string Box::why_not() {
  // With a file that is written to: there may be namespaces and no FUSE.
  constexpr std::uint64_t size = io::buffer_alignment;
  io::MemorySource zeros("a page of zeros", io::AlignedMemory(size), size);
  try {
    io::File memory(io::FileDescriptor(::memfd_create("scratch", MFD_CLOEXEC)), "memory");
    io::ScratchOverlay overlay(ring_, zeros, memory, size);
    const BoxFile file{"0", {&overlay, &overlay, {0, size}}};
    const CommandResult done =
        run("echo line >/view/0 && read -r line </view/0 && exit 7", std::span(&file, 1));
    constexpr int expected = 7;
    return done.code == expected ? "" : "a program does not run in its box: " + done.complaint();
  } catch (const io::Error& error) {
    if (error.kind() == io::ErrorKind::cancelled) throw;
    return error.what();
  }
}

CommandResult Box::run(const std::string& command, std::span<const BoxFile> files) {
  io::throw_if_stopped(stop_, "the box");
  if (files.size() > most_box_files) throw box_trouble("it has too many files");
  Visit visit(ring_, options_, files);
  visit.start(options_, command);
  return visit.wait(stop_);
}

bool Box::has_program(const std::string& name) const {
  std::string_view rest = options_.path;
  while (!rest.empty()) {
    const std::string_view folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
    if (::access(fmt::format("{}/{}", folder, name).c_str(), X_OK) == 0) return true;
  }
  return false;
}

}  // namespace imgtool::guest
