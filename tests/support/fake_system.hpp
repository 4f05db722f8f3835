// A machine made of ordinary files: /sys, /dev, /proc and /run below a folder of its own, for
// devices that this machine does not have. Gone when the object ends.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "io/devices/system_roots.hpp"

class FakeSystem {
 public:
  FakeSystem();
  ~FakeSystem();
  FakeSystem(const FakeSystem&) = delete;
  FakeSystem& operator=(const FakeSystem&) = delete;

  [[nodiscard]] io::SystemRoots roots() const;
  [[nodiscard]] std::string path(std::string_view relative) const;

  void write(std::string_view relative, std::string_view content) const;
  void link(std::string_view relative, std::string_view target) const;

  // A disk whose folder is sys/devices/PLACE/block/NAME; the folder PLACE becomes its "device"
  // unless it is "virtual". The kernel's name may hold '!'.
  void add_disk(const std::string& name, const std::string& number, const std::string& place,
                std::uint64_t size_bytes);
  void add_partition(const std::string& disk, const std::string& name, const std::string& number,
                     std::uint64_t start_bytes, std::uint64_t size_bytes);
  // An attribute of a disk or partition: set("sda", "queue/rotational", "1").
  void set(const std::string& device, std::string_view attribute, std::string_view value) const;
  // `upper` (dm-0, md0) is stacked on `lower`.
  void stack(const std::string& upper, const std::string& lower) const;
  // A device-mapper device with its /dev/mapper link.
  void add_mapper(const std::string& name, const std::string& number, const std::string& dm_name,
                  const std::string& uuid);
  void add_loop(const std::string& name, const std::string& number, const std::string& file);

  // As mountinfo spells them: escape blanks yourself.
  void add_mount(const std::string& number, const std::string& mount_point,
                 const std::string& source, const std::string& type = "ext4",
                 const std::string& options = "rw", const std::string& root = "/");
  void add_swap(const std::string& path);

 private:
  [[nodiscard]] std::string folder_of(const std::string& device) const;
  void add_node(const std::string& name) const;

  std::filesystem::path root_;
  std::string mountinfo_;
  std::string swaps_ = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
  unsigned next_mount_ = 20;
};
