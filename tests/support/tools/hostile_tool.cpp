// Stands in for a file system's program that a hostile image has taken over: hostile_tool DEED ...
// does what must not lead out of a box, and says in one line how far it came. A deed that is no
// crime ends with 0.
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

// Which of these can be opened.
int look(int count, char** paths) {
  for (int i = 0; i < count; ++i) {
    if (::open(paths[i], O_RDONLY) >= 0) std::printf("read %s\n", paths[i]);
  }
  return 0;
}

// In which of these folders a file can be made.
int make_files(int count, char** folders) {
  for (int i = 0; i < count; ++i) {
    const std::string path = std::string(folders[i]) + "/made";
    if (::open(path.c_str(), O_WRONLY | O_CREAT, 0666) >= 0) std::printf("made %s\n", path.c_str());
  }
  return 0;
}

int connect_out() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(22);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool done = ::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  std::printf("%s\n", done ? "connected" : "no network");
  return 0;
}

int multiply() {
  int children = 0;
  for (; children < 100000; ++children) {
    const pid_t child = ::fork();
    if (child < 0) break;
    if (child == 0) {
      ::setsid();
      while (true) ::pause();
    }
  }
  std::printf("%d\n", children);
  return 0;  // they are left behind
}

void* volatile last_piece = nullptr;  // or a compiler sees that nobody looks at any of them

int eat() {
  constexpr std::size_t piece = std::size_t{1} << 20;
  int pieces = 0;
  for (; pieces < 1 << 20; ++pieces) {
    void* memory = std::malloc(piece);
    if (memory == nullptr) break;
    std::memset(memory, 1, piece);
    last_piece = memory;
  }
  std::printf("%d\n", pieces);
  return 0;
}

int talk() {
  static char words[1 << 20];
  std::memset(words, 'x', sizeof words);
  for (int i = 0; i < 1024; ++i) {
    if (std::fwrite(words, 1, sizeof words, stdout) != sizeof words) return 1;
  }
  return 0;
}

int write_past(const char* file) {
  const int fd = ::open(file, O_RDWR);
  const off_t end = ::lseek(fd, 0, SEEK_END);
  [[maybe_unused]] const ssize_t count = ::pwrite(fd, "x", 1, end + 100);
  return ::close(fd);
}

int be_root() {
  bool capable = ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1;
  for (unsigned long right = 0; right <= CAP_LAST_CAP; ++right) {
    capable = capable || ::prctl(PR_CAPBSET_READ, right, 0, 0, 0) == 1;
  }
  std::printf("user %u, %s\n", ::getuid(), capable ? "capable" : "incapable");
  if (::setuid(0) == 0) std::puts("setuid");
  if (::unshare(CLONE_NEWUSER) == 0) std::puts("unshare");
  if (::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, nullptr) >= 0) {
    std::puts("clone");
  }
  if (::mount("none", "/view", "tmpfs", 0, "") == 0) std::puts("mount");
  if (::ptrace(PTRACE_ATTACH, 1, nullptr, nullptr) == 0) std::puts("ptrace");
  if (::syscall(SYS_add_key, "user", "name", "key", 3, -3) >= 0) std::puts("add_key");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string deed = argc > 1 ? argv[1] : "";
  if (deed == "look") return look(argc - 2, argv + 2);
  if (deed == "make") return make_files(argc - 2, argv + 2);
  if (deed == "connect") return connect_out();
  if (deed == "multiply") return multiply();
  if (deed == "eat") return eat();
  if (deed == "talk") return talk();
  if (deed == "past" && argc > 2) return write_past(argv[2]);
  if (deed == "root") return be_root();
  if (deed == "hang") {
    while (true) ::pause();
  }
  if (deed == "crash") std::abort();
  return 2;
}
