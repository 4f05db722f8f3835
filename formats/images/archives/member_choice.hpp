// Which member of an archive is meant: the one that the user names, or the only image.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace formats::archives {

struct Listed {
  std::string name;
  std::uint64_t size = 0;
};

// What was met of an archive. Refuses (ErrorKind::refused) more than a quarter of a million
// members, and names of more than 64 MiB: a file system in an archive has more, and is no image.
class MemberList {
 public:
  // `path` is the archive's.
  explicit MemberList(std::string path) : path_(std::move(path)) {}

  void add(std::string name, std::uint64_t size);
  [[nodiscard]] const std::vector<Listed>& members() const noexcept { return members_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
  std::vector<Listed> members_;
  std::size_t name_bytes_ = 0;
};

// Whether `wanted` means a member: its name, or the last part of it.
[[nodiscard]] bool is_named(std::string_view name, std::string_view wanted);

// Whether the name is that of what archives carry beside an image: a text, a checksum, a manifest.
[[nodiscard]] bool is_companion(std::string_view name);

// The index of the member in the list. `wanted` is its name, or the last part of its path where
// only one has that; empty: the only member that is no companion and not empty, or the only one
// of these whose name is that of an image. Throws ErrorKind::refused with
// the list where that is none or are several.
[[nodiscard]] std::size_t choose_member(const MemberList& list, const std::string& wanted);

// Throws ErrorKind::refused: the user has to choose.
[[noreturn]] void refuse_several(const std::string& path, const std::vector<Listed>& images);

}  // namespace formats::archives
