#include "tests/support/fake_system.hpp"

#include <stdlib.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>

namespace fs = std::filesystem;

FakeSystem::FakeSystem() {
  std::string name = (fs::temp_directory_path() / "fake-system-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw std::runtime_error("mkdtemp failed");
  }
  root_ = fs::canonical(name);
  for (const char* folder :
       {"sys/block", "sys/devices", "dev/mapper", "dev/disk/by-id", "proc/self", "run/udev/data"}) {
    fs::create_directories(root_ / folder);
  }
  write("proc/swaps", swaps_);
  write("proc/self/mountinfo", "");
}

FakeSystem::~FakeSystem() {
  std::error_code ignored;
  fs::remove_all(root_, ignored);
}

io::SystemRoots FakeSystem::roots() const {
  return {path("sys"), path("dev"), path("proc"), path("run")};
}

std::string FakeSystem::path(std::string_view relative) const {
  return (root_ / relative).string();
}

void FakeSystem::write(std::string_view relative, std::string_view content) const {
  const fs::path file = root_ / relative;
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << content;
}

void FakeSystem::link(std::string_view relative, std::string_view target) const {
  const fs::path file = root_ / relative;
  fs::create_directories(file.parent_path());
  fs::create_symlink(target, file);
}

void FakeSystem::add_node(const std::string& name) const {
  std::string node = name;
  std::replace(node.begin(), node.end(), '!', '/');
  write("dev/" + node, "");
}

void FakeSystem::add_disk(const std::string& name, const std::string& number,
                          const std::string& place, std::uint64_t size_bytes) {
  const bool is_virtual = place == "virtual";
  const std::string folder =
      "sys/devices/" + (is_virtual ? "virtual/block/" : place + "/block/") + name;
  write(folder + "/dev", number + "\n");
  link("sys/block/" + name, (root_ / folder).string());
  if (!is_virtual) {
    link(folder + "/device", "../..");
  }
  fs::create_directories(root_ / folder / "holders");
  fs::create_directories(root_ / folder / "slaves");
  set(name, "size", std::to_string(size_bytes / 512));
  set(name, "ro", "0");
  set(name, "removable", "0");
  set(name, "queue/logical_block_size", "512");
  set(name, "queue/physical_block_size", "4096");
  set(name, "queue/rotational", "0");
  add_node(name);
}

void FakeSystem::add_partition(const std::string& disk, const std::string& name,
                               const std::string& number, std::uint64_t start_bytes,
                               std::uint64_t size_bytes) {
  const std::string folder = folder_of(disk) + "/" + name;
  fs::create_directories(fs::path(folder) / "holders");
  std::ofstream(folder + "/dev") << number << "\n";
  std::ofstream(folder + "/partition") << "1\n";
  std::ofstream(folder + "/ro") << "0\n";
  std::ofstream(folder + "/start") << start_bytes / 512 << "\n";
  std::ofstream(folder + "/size") << size_bytes / 512 << "\n";
  add_node(name);
}

// A partition's folder is in its disk's.
std::string FakeSystem::folder_of(const std::string& device) const {
  for (const auto& entry : fs::directory_iterator(root_ / "sys/block")) {
    const std::string disk = entry.path().filename();
    for (const fs::path& folder : {entry.path(), entry.path() / device}) {
      if ((disk == device || folder != entry.path()) && fs::exists(folder / "dev")) {
        return fs::canonical(folder).string();
      }
    }
  }
  throw std::runtime_error("no such device: " + device);
}

void FakeSystem::set(const std::string& device, std::string_view attribute,
                     std::string_view value) const {
  const fs::path file = fs::path(folder_of(device)) / attribute;
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << value << "\n";
}

void FakeSystem::stack(const std::string& upper, const std::string& lower) const {
  fs::create_symlink(folder_of(upper), fs::path(folder_of(lower)) / "holders" / upper);
  fs::create_symlink(folder_of(lower), fs::path(folder_of(upper)) / "slaves" / lower);
}

void FakeSystem::add_mapper(const std::string& name, const std::string& number,
                            const std::string& dm_name, const std::string& uuid) {
  add_disk(name, number, "virtual", 1 << 30);
  set(name, "dm/name", dm_name);
  set(name, "dm/uuid", uuid);
  link("dev/mapper/" + dm_name, "../" + name);
}

void FakeSystem::add_loop(const std::string& name, const std::string& number,
                          const std::string& file) {
  add_disk(name, number, "virtual", 1 << 20);
  set(name, "loop/backing_file", file);
}

void FakeSystem::add_mount(const std::string& number, const std::string& mount_point,
                           const std::string& source, const std::string& type,
                           const std::string& options, const std::string& root) {
  mountinfo_ += std::to_string(next_mount_++) + " 1 " + number + " " + root + " " + mount_point +
                " rw,relatime shared:1 - " + type + " " + source + " " + options + "\n";
  write("proc/self/mountinfo", mountinfo_);
}

void FakeSystem::add_swap(const std::string& path) {
  swaps_ += path + "                               partition\t1024\t0\t-2\n";
  write("proc/swaps", swaps_);
}
