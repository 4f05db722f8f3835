#include "formats/disks/partitions/mbr.hpp"

#include <algorithm>
#include <unordered_set>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "io/error.hpp"

namespace formats::partitions {
namespace {

constexpr std::size_t table_size = 512;
constexpr std::size_t first_slot = 446;
constexpr std::size_t slot_size = 16;
constexpr std::size_t most_links = 256;
constexpr std::uint64_t most_sectors = std::uint64_t{1} << 32;

constexpr std::size_t slot_at(std::size_t index) { return first_slot + index * slot_size; }

bool has_boot_signature(std::span<const std::byte> sector) {
  return load_little_endian<std::uint16_t>(sector, 510) == 0xaa55;
}

// `base`: what the entry's first sector is counted from.
MbrEntry load_entry(std::span<const std::byte> sector, std::size_t at, std::uint64_t base) {
  MbrEntry entry;
  entry.status = std::to_integer<std::uint8_t>(sector[at]);
  entry.type = std::to_integer<std::uint8_t>(sector[at + 4]);
  entry.first = base + load_little_endian<std::uint32_t>(sector, at + 8);
  entry.count = load_little_endian<std::uint32_t>(sector, at + 12);
  return entry;
}

// Cylinder, head and sector, as everybody computes them who still does.
void store_chs(std::span<std::byte> sector, std::size_t at, std::uint64_t number) {
  constexpr std::uint64_t heads = 255;
  constexpr std::uint64_t sectors = 63;
  std::uint64_t cylinder = number / (heads * sectors);
  std::uint64_t head = number / sectors % heads;
  std::uint64_t in_track = number % sectors + 1;
  if (cylinder > 1023) {
    cylinder = 1023;
    head = 254;
    in_track = 63;
  }
  sector[at] = static_cast<std::byte>(head);
  sector[at + 1] = static_cast<std::byte>(in_track | (cylinder >> 8 << 6));
  sector[at + 2] = static_cast<std::byte>(cylinder & 0xff);
}

// What an entry's first sector is counted from: when it was read, and now.
struct Base {
  std::uint64_t before = 0;
  std::uint64_t now = 0;
};

void store_entry(std::span<std::byte> sector, std::size_t at, const MbrEntry& entry,
                 const Base& base) {
  const MbrEntry before = load_entry(sector, at, base.before);
  if (before == entry && base.before == base.now) return;
  sector[at] = static_cast<std::byte>(entry.status);
  sector[at + 4] = static_cast<std::byte>(entry.type);
  store_little_endian(sector, at + 8, static_cast<std::uint32_t>(entry.first - base.now));
  store_little_endian(sector, at + 12, static_cast<std::uint32_t>(entry.count));
  // The odd values of a protective entry stay as they are, and those of an empty slot.
  if (entry.type == mbr_type_gpt || !entry.used()) return;
  if (entry.first != before.first) store_chs(sector, at + 1, entry.first);
  store_chs(sector, at + 5, entry.end() - 1);
}

bool plausible(const std::array<MbrEntry, 4>& slots, bool boot_sector, std::uint64_t disk_sectors) {
  const auto odd = [&](const MbrEntry& entry) {
    if (entry.status != 0 && entry.status != 0x80) return true;
    return boot_sector && entry.used() && entry.end() > disk_sectors;
  };
  if (std::any_of(slots.begin(), slots.end(), odd)) return false;
  return !boot_sector || std::any_of(slots.begin(), slots.end(),
                                     [](const MbrEntry& entry) { return entry.used(); });
}

// Follows the links from one EBR to the next.
class Chain {
 public:
  Chain(DiskView& disk, std::uint64_t sector_size, const MbrEntry& extended)
      : disk_(disk), sector_size_(sector_size), extended_(extended) {}

  std::vector<Ebr> follow(std::vector<std::string>& problems) {
    std::vector<Ebr> chain;
    std::unordered_set<std::uint64_t> seen;
    std::optional<std::uint64_t> sector = extended_.first;
    while (sector) {
      if (!seen.insert(*sector).second) {
        problems.push_back(
            fmt::format("the logical partitions go in a circle at sector {}", *sector));
        break;
      }
      if (seen.size() > most_links) {
        problems.push_back(fmt::format("more than {} logical partitions", most_links));
        break;
      }
      auto ebr = read(*sector, problems);
      if (!ebr) break;
      sector = next(*ebr, problems);
      chain.push_back(std::move(*ebr));
    }
    return chain;
  }

 private:
  std::optional<Ebr> read(std::uint64_t sector, std::vector<std::string>& problems) {
    if (!disk_.holds(sector * sector_size_, table_size)) {
      problems.push_back(fmt::format(
          "the table of a logical partition, sector {}, lies behind the disk's end", sector));
      return std::nullopt;
    }
    Ebr ebr;
    ebr.sector = sector;
    ebr.found_at = sector;
    ebr.raw = disk_.read(sector * sector_size_, table_size);
    if (!has_boot_signature(ebr.raw)) {
      problems.push_back(fmt::format(
          "sector {} should hold the table of a logical partition, and does not", sector));
      return std::nullopt;
    }
    ebr.logical = load_entry(ebr.raw, slot_at(0), sector);
    const MbrEntry& logical = ebr.logical;
    if (logical.used() && (logical.first <= sector || logical.end() > extended_.end())) {
      problems.push_back(fmt::format(
          "the logical partition that sector {} describes lies outside the extended one", sector));
    }
    return ebr;
  }

  std::optional<std::uint64_t> next(const Ebr& ebr, std::vector<std::string>& problems) const {
    const MbrEntry link = load_entry(ebr.raw, slot_at(1), extended_.first);
    if (!link.extended()) return std::nullopt;
    if (link.first <= extended_.first || link.first >= extended_.end()) {
      problems.push_back(fmt::format(
          "sector {} names a next logical partition outside the extended one", ebr.sector));
      return std::nullopt;
    }
    return link.first;
  }

  DiskView& disk_;
  std::uint64_t sector_size_;
  MbrEntry extended_;
};

// A link reaches from the next EBR to the end of the partition that it describes.
void store_link(std::span<std::byte> sector, const Ebr& next, const Base& base) {
  MbrEntry link = load_entry(sector, slot_at(1), base.before);
  const bool moved = next.sector != next.found_at;
  if (moved || next.logical != load_entry(next.raw, slot_at(0), next.found_at)) {
    link.first = next.sector;
    if (next.logical.used()) link.count = next.logical.end() - next.sector;
  }
  store_entry(sector, slot_at(1), link, base);
}

}  // namespace

bool looks_like_boot_sector(std::span<const std::byte> sector) {
  const auto text = [&](std::size_t at, std::string_view wanted) {
    return std::equal(wanted.begin(), wanted.end(), sector.begin() + static_cast<int>(at),
                      [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
  };
  if (text(3, "NTFS    ") || text(3, "EXFAT   ") || text(3, "-FVE-FS-")) return true;
  const auto sector_size = load_little_endian<std::uint16_t>(sector, 11);
  const auto cluster = std::to_integer<unsigned>(sector[13]);
  const auto reserved = load_little_endian<std::uint16_t>(sector, 14);
  const auto fats = std::to_integer<unsigned>(sector[16]);
  const auto media = std::to_integer<unsigned>(sector[21]);
  const bool power_of_two = cluster != 0 && (cluster & (cluster - 1)) == 0;
  return sector_size >= 512 && sector_size <= 4096 && (sector_size & (sector_size - 1)) == 0 &&
         power_of_two && reserved > 0 && (fats == 1 || fats == 2) &&
         (media == 0xf0 || media >= 0xf8);
}

const MbrEntry* Mbr::extended() const {
  const auto found = std::find_if(primary.begin(), primary.end(),
                                  [](const MbrEntry& entry) { return entry.extended(); });
  return found == primary.end() ? nullptr : &*found;
}

bool Mbr::mentions_gpt() const {
  return std::any_of(primary.begin(), primary.end(), [](const MbrEntry& entry) {
    return entry.used() && entry.type == mbr_type_gpt;
  });
}

bool Mbr::protective() const {
  return mentions_gpt() && std::all_of(primary.begin(), primary.end(), [](const MbrEntry& entry) {
           return !entry.used() || entry.type == mbr_type_gpt;
         });
}

void Mbr::protect(std::uint64_t blocks) {
  for (MbrEntry& entry : primary) {
    if (!entry.used() || entry.first >= blocks) continue;
    entry.count = std::min(blocks - entry.first, most_sectors - 1);
  }
}

std::uint32_t Mbr::signature() const { return load_little_endian<std::uint32_t>(raw, 440); }

std::vector<io::Patch> Mbr::patches() const {
  std::vector<io::Patch> all;
  all.reserve(1 + chain.size());
  io::Patch first{0, raw};
  Base chain_base;
  for (std::size_t index = 0; index < primary.size(); ++index) {
    if (&primary[index] == extended()) {
      chain_base = {load_entry(raw, slot_at(index), 0).first, primary[index].first};
    }
    store_entry(first.bytes, slot_at(index), primary[index], {});
  }
  all.push_back(std::move(first));
  for (std::size_t index = 0; index < chain.size(); ++index) {
    const Ebr& ebr = chain[index];
    io::Patch patch{ebr.sector * sector_size, ebr.raw};
    store_entry(patch.bytes, slot_at(0), ebr.logical, {ebr.found_at, ebr.sector});
    if (index + 1 < chain.size()) store_link(patch.bytes, chain[index + 1], chain_base);
    all.push_back(std::move(patch));
  }
  return all;
}

std::optional<Mbr> read_mbr(DiskView& disk, std::uint64_t sector_size,
                            std::vector<std::string>& problems) {
  if (!disk.holds(0, table_size)) return std::nullopt;
  Mbr mbr;
  mbr.sector_size = sector_size;
  mbr.raw = disk.read(0, table_size);
  if (!has_boot_signature(mbr.raw)) return std::nullopt;
  for (std::size_t index = 0; index < mbr.primary.size(); ++index) {
    mbr.primary[index] = load_entry(mbr.raw, slot_at(index), 0);
  }
  const std::uint64_t disk_sectors = std::min(disk.size() / sector_size, most_sectors);
  if (!plausible(mbr.primary, looks_like_boot_sector(mbr.raw), disk_sectors)) return std::nullopt;
  const auto is_extended = [](const MbrEntry& entry) { return entry.extended(); };
  if (std::count_if(mbr.primary.begin(), mbr.primary.end(), is_extended) > 1) {
    problems.emplace_back("there are two extended partitions; only the first is looked into");
  }
  if (mbr.extended() != nullptr) {
    mbr.chain = Chain(disk, sector_size, *mbr.extended()).follow(problems);
  }
  return mbr;
}

}  // namespace formats::partitions
