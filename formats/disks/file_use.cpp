#include "formats/disks/file_use.hpp"

#include <algorithm>
#include <array>

namespace formats {
namespace {

struct KnownFolder {
  std::string_view path;  // in lower case; a * is any one name
  FileUse use;
};

constexpr auto unix_folders = std::to_array<KnownFolder>({
    {"/var/cache/apt", FileUse::package_cache},
    {"/var/lib/apt/lists", FileUse::package_cache},
    {"/var/cache/dnf", FileUse::package_cache},
    {"/var/cache/libdnf5", FileUse::package_cache},
    {"/var/cache/yum", FileUse::package_cache},
    {"/var/cache/zypp", FileUse::package_cache},
    {"/var/cache/apk", FileUse::package_cache},
    {"/var/cache/pacman", FileUse::package_cache},
    {"/var/cache/packagekit", FileUse::package_cache},
    {"/var/cache/distfiles", FileUse::package_cache},
    {"/var/lib/snapd/cache", FileUse::package_cache},
    {"/var/cache", FileUse::cache},
    {"/root/.cache", FileUse::cache},
    {"/home/*/.cache", FileUse::cache},
    {"/var/crash", FileUse::crash_dump},
    {"/var/lib/systemd/coredump", FileUse::crash_dump},
    {"/var/lib/apport/coredump", FileUse::crash_dump},
    {"/var/spool/abrt", FileUse::crash_dump},
    {"/var/log", FileUse::log},
    {"/tmp", FileUse::temporary},
    {"/var/tmp", FileUse::temporary},
    {"/home/*/.local/share/trash", FileUse::trash},
    {"/root/.local/share/trash", FileUse::trash},
    {"/.snapshots", FileUse::snapshot},
    {"/*/.snapshots", FileUse::snapshot},
    {"/timeshift", FileUse::snapshot},
    {"/timeshift-btrfs", FileUse::snapshot},
});

constexpr auto windows_folders = std::to_array<KnownFolder>({
    {"/windows/softwaredistribution/download", FileUse::package_cache},
    {"/windows/installer/$patchcache$", FileUse::package_cache},
    {"/programdata/package cache", FileUse::package_cache},
    {"/windows/minidump", FileUse::crash_dump},
    {"/windows/livekernelreports", FileUse::crash_dump},
    {"/programdata/microsoft/windows/wer", FileUse::crash_dump},
    {"/users/*/appdata/local/crashdumps", FileUse::crash_dump},
    {"/windows/logs", FileUse::log},
    {"/windows/panther", FileUse::log},
    {"/windows/system32/winevt/logs", FileUse::log},
    {"/windows/temp", FileUse::temporary},
    {"/users/*/appdata/local/temp", FileUse::temporary},
    {"/windows/prefetch", FileUse::cache},
    {"/$recycle.bin", FileUse::trash},
    {"/recycler", FileUse::trash},
    {"/windows/winsxs/backup", FileUse::update_backup},
    {"/windows.old", FileUse::update_backup},
    {"/$windows.~bt", FileUse::update_backup},
    {"/$windows.~ws", FileUse::update_backup},
    {"/system volume information", FileUse::restore_point},
});

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  return result;
}

// Whether the names are those of a pattern.
bool fits(const std::vector<std::string_view>& names, std::string_view pattern) {
  for (const std::string_view name : names) {
    if (pattern.empty()) return false;
    pattern.remove_prefix(1);
    const std::size_t end = std::min(pattern.find('/'), pattern.size());
    const std::string_view wanted = pattern.substr(0, end);
    if (wanted != "*" && wanted != lower(name)) return false;
    pattern.remove_prefix(end);
  }
  return pattern.empty();
}

template <class Folders>
FileUse find(const Folders& folders, const std::vector<std::string_view>& names) {
  const auto found = std::find_if(folders.begin(), folders.end(),
                                  [&](const KnownFolder& one) { return fits(names, one.path); });
  return found == folders.end() ? FileUse::unknown : found->use;
}

}  // namespace

std::string_view word_of(FileUse use) {
  switch (use) {
    case FileUse::paging:
      return "paging";
    case FileUse::hibernation:
      return "hibernation";
    case FileUse::crash_dump:
      return "crash-dump";
    case FileUse::package_cache:
      return "package-cache";
    case FileUse::cache:
      return "cache";
    case FileUse::log:
      return "log";
    case FileUse::temporary:
      return "temporary";
    case FileUse::trash:
      return "trash";
    case FileUse::update_backup:
      return "update-backup";
    case FileUse::restore_point:
      return "restore-point";
    case FileUse::snapshot:
      return "snapshot";
    case FileUse::unknown:
      break;
  }
  return "unknown";
}

FileUse use_of_folder(const std::vector<std::string_view>& names, bool windows) {
  if (names.empty() || names.size() > deepest_known_folder) return FileUse::unknown;
  return windows ? find(windows_folders, names) : find(unix_folders, names);
}

FileUse use_of_file(std::string_view name, bool in_root, bool windows) {
  if (!windows) return FileUse::unknown;
  const std::string text = lower(name);
  if (in_root && (text == "pagefile.sys" || text == "swapfile.sys")) return FileUse::paging;
  if (in_root && text == "hiberfil.sys") return FileUse::hibernation;
  return text == "memory.dmp" ? FileUse::crash_dump : FileUse::unknown;
}

}  // namespace formats
