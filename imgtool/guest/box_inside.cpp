#include "imgtool/guest/box_inside.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/error.hpp"
#include "io/file.hpp"

namespace imgtool::guest {
namespace {

namespace fs = std::filesystem;

constexpr unsigned nobody = 65534;
// Numbers of users from here on are nobody's (systemd.io/UIDS-GIDS). One for each box: the limit of
// processes counts those of a user, on the whole host, so that boxes would starve each other.
constexpr unsigned first_free_user = 1879048192;
constexpr const char* root_place = "/tmp";  // where the new root is put together
constexpr std::uint64_t most_memory = 8 * io::GiB;
constexpr rlim_t most_processor_s = 1800;
constexpr rlim_t most_open_files = 64, most_processes = 64;
constexpr int no_box = 125;

void must(bool done, std::string_view what) {
  if (!done) throw io::Error::system(what, "the box", errno);
}

void write_text(const char* path, const std::string& text) {
  const io::FileDescriptor file(::open(path, O_WRONLY | O_CLOEXEC));
  must(file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()),
       path);
}

// --- namespaces ---

constexpr int namespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;

// Whether there is a namespace of users, too, in which we are `nobody` with all capabilities.
bool leave_namespaces() {
  const uid_t user = ::geteuid();
  const gid_t group = ::getegid();
  if (user == 0 && ::unshare(namespaces) == 0) return false;
  must(::unshare(CLONE_NEWUSER | namespaces) == 0, "namespaces of its own");
  write_text("/proc/self/setgroups", "deny");
  write_text("/proc/self/uid_map", fmt::format("{} {} 1", nobody, user));
  write_text("/proc/self/gid_map", fmt::format("{} {} 1", nobody, group));
  return true;
}

// --- the root folder ---

// Those of a mount that may not be taken away in a namespace of users.
unsigned long kept_flags(const char* place) {
  struct statvfs found {};
  must(::statvfs(place, &found) == 0, place);
  constexpr std::array<std::pair<unsigned long, unsigned long>, 4> flags = {{
      {ST_NOEXEC, MS_NOEXEC},
      {ST_NOATIME, MS_NOATIME},
      {ST_NODIRATIME, MS_NODIRATIME},
      {ST_RELATIME, MS_RELATIME},
  }};
  unsigned long kept = 0;
  for (const auto& [had, flag] : flags) {
    if ((found.f_flag & had) != 0) kept |= flag;
  }
  return kept;
}

void make_file(const std::string& place) {
  const io::FileDescriptor file(::open(place.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  must(static_cast<bool>(file), place);
}

// What was opened as `thing` is seen at `place`, too, and can only be read.
void show_read_only(const io::FileDescriptor& thing, const std::string& place,
                    unsigned long more_flags) {
  const std::string from = fmt::format("/proc/self/fd/{}", thing.get());
  must(::mount(from.c_str(), place.c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0, place);
  const unsigned long flags = MS_REMOUNT | MS_BIND | MS_NOSUID | more_flags;
  must(::mount(nullptr, place.c_str(), nullptr, flags | kept_flags(place.c_str()), nullptr) == 0,
       place);
}

io::FileDescriptor look_at(const std::string& path) {
  return io::FileDescriptor(::open(path.c_str(), O_PATH | O_CLOEXEC));
}

class NewRoot {
 public:
  explicit NewRoot(const BoxOptions& options) {
    must(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "mounts of its own");
    for (const std::string& folder : options.folders) folders_.push_back(look_at(folder));
    const io::FileDescriptor null = look_at("/dev/null"), libraries = look_at("/etc/ld.so.cache");
    must(::mount("tmpfs", root_place, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=0755") == 0,
         "a root folder");
    for (std::size_t i = 0; i < folders_.size(); ++i) show(options.folders[i], folders_[i]);
    for (const char* folder : {"/dev", "/etc", "/proc", "/view"}) make_folder(folder);
    // What is asked for where something is mounted: nothing is.
    for (const char* file : {"/etc/mtab", "/proc/mounts", "/proc/swaps"}) make_file(inside(file));
    make_file(inside("/dev/null"));
    show_read_only(null, inside("/dev/null"), 0);
    if (!libraries) return;
    make_file(inside("/etc/ld.so.cache"));
    show_read_only(libraries, inside("/etc/ld.so.cache"), MS_RDONLY | MS_NODEV);
  }

  [[nodiscard]] static std::string view(const BoxFile& file) {
    return inside("/view/" + file.name);
  }

  // What is not in it cannot be reached any more.
  static void enter() {
    must(::chdir(root_place) == 0, root_place);
    must(::syscall(SYS_pivot_root, ".", ".") == 0, "changing the root folder");
    must(::umount2(".", MNT_DETACH) == 0 && ::chdir("/") == 0, "leaving the old root folder");
    must(::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV,
                 nullptr) == 0,
         "making the root folder read only");
  }

 private:
  static std::string inside(const std::string& path) { return root_place + path; }
  static void make_folder(const std::string& path) { fs::create_directories(inside(path)); }

  // A folder, or the same link as outside.
  static void show(const std::string& path, const io::FileDescriptor& folder) {
    std::error_code error;
    if (fs::is_symlink(path, error)) {
      fs::create_symlink(fs::read_symlink(path), inside(path));
    } else if (folder) {
      make_folder(path);
      show_read_only(folder, inside(path), MS_RDONLY | MS_NODEV);
    }
  }

  std::vector<io::FileDescriptor> folders_;
};

// --- messages ---

void send(int socket, BoxWord word, std::string_view text, std::span<const int> descriptors = {}) {
  std::string bytes(1, static_cast<char>(word));
  bytes += text.substr(0, longest_box_message - 1);
  std::array<char, CMSG_SPACE(most_box_files * sizeof(int))> control{};
  iovec part{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  must(::sendmsg(socket, &message, MSG_NOSIGNAL) >= 0, "telling of the box");
}

void show_views(const BoxEntry& entry, bool with_users) {
  const unsigned user = with_users ? nobody : 0;
  std::vector<io::FileDescriptor> views;
  std::vector<int> numbers;
  for (const BoxFile& file : entry.files) {
    const std::string place = NewRoot::view(file);
    make_file(place);
    views.push_back(io::mount_file_view(place, file.content.target != nullptr, user, user));
    numbers.push_back(views.back().get());
  }
  if (numbers.empty()) return;
  send(entry.messages, BoxWord::views, "", numbers);
  views.clear();  // who is outside serves them from now on, and alone
  for (const BoxFile& file : entry.files) {
    if (file.content.target != nullptr) io::learn_length(NewRoot::view(file));
  }
}

// --- who is in it ---

void set_limit(int what, rlim_t most) {
  rlimit limit{};
  must(::getrlimit(static_cast<__rlimit_resource>(what), &limit) == 0, "limits");
  limit.rlim_max = limit.rlim_max == RLIM_INFINITY ? most : std::min(most, limit.rlim_max);
  limit.rlim_cur = limit.rlim_max;
  must(::setrlimit(static_cast<__rlimit_resource>(what), &limit) == 0, "limits");
}

void set_limits(const BoxOptions& options) {
  struct sysinfo machine {};
  must(::sysinfo(&machine) == 0, "limits");
  const std::uint64_t half = std::uint64_t{machine.totalram} * machine.mem_unit / 2;
  set_limit(RLIMIT_AS, options.memory != 0 ? options.memory : std::min(half, most_memory));
  set_limit(RLIMIT_CPU, most_processor_s);
  set_limit(RLIMIT_CORE, 0);
  set_limit(RLIMIT_NOFILE, most_open_files);
  set_limit(RLIMIT_NPROC, most_processes);
}

void give_up_rights(bool with_users, unsigned user) {
  must(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no new privileges");
  int there = 0;
  for (unsigned long one = 0; (there = ::prctl(PR_CAPBSET_READ, one, 0, 0, 0)) >= 0; ++one) {
    must(there == 0 || ::prctl(PR_CAPBSET_DROP, one, 0, 0, 0) == 0, "no capabilities");
  }
  if (!with_users) {
    must(::setgroups(0, nullptr) == 0 && ::setresgid(nobody, nobody, nobody) == 0 &&
             ::setresuid(user, user, user) == 0,
         "another user");
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
  must(::syscall(SYS_capset, &header, none.data()) == 0, "no capabilities");
}

// All that our libraries opened, too, closes when the command is executed.
void keep_standard_files_alone() {
  constexpr unsigned first = 3;
#ifdef SYS_close_range
  constexpr unsigned at_execution = 4;  // CLOSE_RANGE_CLOEXEC, Linux 5.11
  if (::syscall(SYS_close_range, first, ~0U, at_execution) == 0) return;
#endif
  for (long fd = first; fd < ::sysconf(_SC_OPEN_MAX); ++fd) {
    (void)::fcntl(static_cast<int>(fd), F_SETFD, FD_CLOEXEC);
  }
}

[[noreturn]] void run_command(const BoxEntry& entry) {
  const io::FileDescriptor nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  must(nothing && ::dup2(nothing.get(), STDIN_FILENO) >= 0 &&
           ::dup2(entry.out, STDOUT_FILENO) >= 0 && ::dup2(entry.err, STDERR_FILENO) >= 0,
       "standard input and output");
  std::vector<std::string> writable = {"/dev/null"};
  for (const BoxFile& file : entry.files) {
    if (file.content.target != nullptr) writable.push_back("/view/" + file.name);
  }
  const std::string path = "PATH=" + entry.options.path;
  const std::string line = entry.command;
  const std::array<const char*, 4> words = {"sh", "-c", line.c_str(), nullptr};
  const std::array<const char*, 3> variables = {path.c_str(), "LC_ALL=C", nullptr};
  keep_standard_files_alone();
  restrict_files(writable);
  restrict_calls();
  set_limits(entry.options);  // last: what checks our own memory may need more
  ::execve("/bin/sh", const_cast<char**>(words.data()), const_cast<char**>(variables.data()));
  ::_exit(program_not_found);
}

void hear_sigterm(int how) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  (void)::sigprocmask(how, &signals, nullptr);
}

// The first process of its namespace: what loses its parent becomes its child.
[[noreturn]] void be_first(const BoxEntry& entry, bool with_users, unsigned user,
                           const io::FileDescriptor& alive) {
  must(::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, "ending with its parent");
  // The parent may have died before; then nobody has the other end.
  must(::write(alive.get(), "", 1) == 1, "ending with its parent");
  give_up_rights(with_users, user);
  must(::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0,
       "ending with its parent");  // who we are has changed
  const pid_t command = ::fork();
  must(command >= 0, "fork");
  if (command == 0) run_command(entry);
  ::close(entry.out);
  ::close(entry.err);
  int status = 0;
  pid_t ended = 0;
  while ((ended = ::wait(&status)) != command) must(ended > 0 || errno == EINTR, "wait");
  send(entry.messages, BoxWord::ended, {reinterpret_cast<const char*>(&status), sizeof status});
  ::_exit(0);
}

volatile pid_t first_process = 0;

void end_first_process(int /*signal*/) { (void)::kill(first_process, SIGKILL); }

// With SIGTERM it is to end all that is inside, and to wait for it.
void wait_for_first(pid_t first) {
  first_process = first;
  (void)::signal(SIGTERM, end_first_process);
  hear_sigterm(SIG_UNBLOCK);
  while (::waitpid(first, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void enter(const BoxEntry& entry) {
  must(::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::getppid() == entry.outside,
       "ending with its parent");
  ::setsid();  // Ctrl-C is for who is outside
  const bool with_users = leave_namespaces();
  const unsigned user = first_free_user + static_cast<unsigned>(::getpid());  // seen from outside
  {
    const NewRoot root(entry.options);
    show_views(entry, with_users);
    NewRoot::enter();
  }
  std::array<int, 2> ends{};
  must(::pipe2(ends.data(), O_CLOEXEC) == 0, "pipe");
  io::FileDescriptor parents_end(ends[0]);
  const io::FileDescriptor childs_end(ends[1]);
  hear_sigterm(SIG_BLOCK);
  const pid_t first = ::fork();
  must(first >= 0, "fork");
  if (first == 0) {
    hear_sigterm(SIG_UNBLOCK);
    parents_end = io::FileDescriptor();
    be_first(entry, with_users, user, childs_end);
  }
  ::close(entry.out);
  ::close(entry.err);
  wait_for_first(first);
}

}  // namespace

void enter_box(const BoxEntry& entry) noexcept {
  try {
    for (int signal = 1; signal < NSIG; ++signal) (void)::signal(signal, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
    enter(entry);
    ::_exit(0);
  } catch (const std::exception& error) {
    try {
      send(entry.messages, BoxWord::failed, error.what());
    } catch (const std::exception&) {
      ::_exit(no_box);  // nobody listens
    }
  }
  ::_exit(no_box);
}

}  // namespace imgtool::guest
