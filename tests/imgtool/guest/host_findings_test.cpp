#include "imgtool/guest/host_findings.hpp"

#include <gtest/gtest.h>

#include <array>
#include <functional>

#include "imgtool/guest/plan.hpp"
#include "io/error.hpp"

namespace imgtool::guest {
namespace {

using formats::filesystems::Reason;

constexpr auto all_reasons = std::to_array(
    {Reason::none, Reason::unreadable, Reason::damaged, Reason::needs_replay, Reason::in_use,
     Reason::hibernated, Reason::hashed, Reason::encrypted, Reason::raid_member, Reason::cut_off,
     Reason::ambiguous, Reason::bad_table, Reason::unsupported, Reason::unknown});
constexpr auto all_types = std::to_array<const char*>(
    {"ext4", "xfs", "btrfs", "ntfs", "vfat", "exfat", "f2fs", "swap", "swsuspend", "crypto_LUKS",
     "BitLocker", "LVM2_member", "linux_raid_member", "DM_verity_hash", ""});

formats::Volume volume(const char* type, Reason reason, bool hashed = false) {
  formats::Volume found{formats::VolumeId::of_partition(2), {io::MiB, 64 * io::MiB}, {}};
  found.file_system.type = type;
  found.hashed = hashed;
  if (reason != Reason::none) found.keep(reason, "because of this", "do that");
  return found;
}

bool is_refused(const formats::Volume& found, const ShrinkOptions& options) {
  formats::FreeSpace space;
  space.volumes = {found};
  try {
    refuse_unsettled(space, options, "disk.img");
    return false;
  } catch (const io::Error& error) {
    EXPECT_EQ(error.kind(), io::ErrorKind::refused);
    return true;
  }
}

// Everything that decides what is written.
struct Decisions {
  bool refused, kept, trimmed, mapped, hashed;
  bool operator==(const Decisions&) const = default;
};
Decisions decide(const formats::Volume& found, const ShrinkOptions& options) {
  const VolumePlan plan = plan_for(found);
  return {is_refused(found, options), plan.kept, may_be_trimmed(plan, options), plan.mapped,
          plan.hashed};
}

void for_all(const std::function<void(const formats::Volume&)>& f) {
  for (const char* type : all_types) {
    for (const Reason reason : all_reasons) {
      for (const bool hashed : {false, true}) f(volume(type, reason, hashed));
    }
  }
}

TEST(HostFindings, DoNotDependOnAnyWording) {
  for_all([](formats::Volume found) {
    const ShrinkOptions options;
    const Decisions before = decide(found, options);
    for (const char* text : {"", "xyzzy", " hashes over ", "partition 7", "logical volume a/b"}) {
      found.file_system.kept_because = found.file_system.remedy = text;
      found.file_system.warning = found.file_system.label = found.file_system.uuid = text;
      EXPECT_EQ(decide(found, options), before)
          << found.file_system.type << ' ' << word_of(found.file_system.reason) << ": " << text;
    }
  });
}

TEST(HostFindings, SayWhichMapsWereBelieved) {
  formats::Volume found = volume("ext4", Reason::none);
  EXPECT_FALSE(plan_for(found).map_believed);
  found.file_system.map_is_believed = true;
  EXPECT_TRUE(plan_for(found).map_believed);
  // What the appliance found inside of it is known to the host by its identity alone.
  formats::Volume inner = found;
  inner.id = {formats::VolumeKind::logical_volume, 2, "vg/root", {}};
  VolumePlan plan = plan_for(volume("LVM2_member", Reason::none));
  plan.inside.resize(3);
  plan.inside[0].id = inner.id;
  plan.inside[1].id = {formats::VolumeKind::logical_volume, 2, "vg/other", {}};
  formats::FreeSpace space;
  space.volumes = {volume("LVM2_member", Reason::none), inner};
  mark_believed(plan, space);
  EXPECT_FALSE(plan.map_believed);
  EXPECT_TRUE(plan.inside[0].map_believed);
  EXPECT_FALSE(plan.inside[1].map_believed);
  EXPECT_FALSE(plan.inside[2].map_believed);  // a key unlocks it: the host knows nothing of it
}

TEST(HostFindings, ThePlanSaysWhichMapsWereBelieved) {
  Plan plan;
  plan.volumes.resize(2);
  plan.volumes[0].name = "partition 1";
  plan.volumes[1].name = "partition 2";
  plan.volumes[0].map_believed = true;
  Json document = to_json(plan);
  const auto& volumes = std::get<Json::Array>(document["volumes"].value());
  EXPECT_EQ(std::get<bool>(volumes[0].at("map-believed").value()), true);
  EXPECT_EQ(std::get<bool>(volumes[1].at("map-believed").value()), false);
  const std::string text = to_text(plan, std::nullopt);
  EXPECT_NE(text.find("files were not asked"), std::string::npos) << text;
  plan.volumes[0].map_believed = false;
  EXPECT_EQ(to_text(plan, std::nullopt).find("files were not asked"), std::string::npos);
}

TEST(HostFindings, KeepWhatIsHashedWhateverElseIsTrueOfIt) {
  for_all([](const formats::Volume& found) {
    if (!found.hashed) return;
    const Decisions decisions = decide(found, {});
    EXPECT_TRUE(decisions.kept) << found.file_system.type;
    EXPECT_FALSE(decisions.trimmed) << found.file_system.type;
  });
  const VolumePlan dirty = plan_for(volume("xfs", Reason::needs_replay, true));
  EXPECT_NE(dirty.kept_because.find("hashes"), std::string::npos) << dirty.kept_because;
}

TEST(HostFindings, LeaveToTheApplianceWhatItCanSettle) {
  const ShrinkOptions options;
  for (const auto& [type, reason] :
       {std::pair("xfs", Reason::needs_replay), std::pair("btrfs", Reason::unsupported),
        std::pair("vfat", Reason::in_use), std::pair("crypto_LUKS", Reason::encrypted)}) {
    const Decisions decisions = decide(volume(type, reason), options);
    EXPECT_FALSE(decisions.refused || decisions.kept) << type;
    EXPECT_TRUE(decisions.trimmed) << type;
  }
  EXPECT_FALSE(decide(volume("ext4", Reason::none), options).trimmed);  // the host's map is enough
  formats::Volume in_part = volume("btrfs", Reason::none);
  in_part.file_system.knows_only_part = true;
  EXPECT_TRUE(decide(in_part, options).trimmed);
}

TEST(HostFindings, KeepWhatNeitherTheOwnerNorTheApplianceCanSettle) {
  const ShrinkOptions options;
  for (const auto& [type, reason] :
       {std::pair("ext4", Reason::unsupported), std::pair("vfat", Reason::damaged),
        std::pair("LVM2_member", Reason::cut_off), std::pair("", Reason::unknown)}) {
    const Decisions decisions = decide(volume(type, reason), options);
    EXPECT_FALSE(decisions.refused) << type;
    EXPECT_TRUE(decisions.kept) << type;
  }
}

TEST(HostFindings, RefuseWhatItsOwnerHasToSettleUnlessItIsKept) {
  ShrinkOptions options;
  for (const auto& [type, reason] :
       {std::pair("ext4", Reason::damaged), std::pair("ntfs", Reason::hibernated),
        std::pair("BitLocker", Reason::encrypted), std::pair("xfs", Reason::cut_off),
        std::pair("ext4", Reason::ambiguous)}) {
    options.keep = {};
    EXPECT_TRUE(is_refused(volume(type, reason), options)) << type;
    options.keep = {2};
    EXPECT_FALSE(is_refused(volume(type, reason), options)) << type;
  }
}

TEST(HostFindings, DropAHibernatedSystemOnlyWhenTheUserSaysSo) {
  ShrinkOptions options;
  const auto swap = volume("swsuspend", Reason::hibernated);
  EXPECT_TRUE(is_refused(swap, options));
  options.drop_swap_content = true;
  EXPECT_FALSE(is_refused(swap, options));
  options.keep = {2};
  EXPECT_TRUE(is_refused(swap, options));
}

}  // namespace
}  // namespace imgtool::guest
