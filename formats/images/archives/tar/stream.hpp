// One member of a tar archive that comes as a stream. Whether it is the only image shows at the
// archive's end, so that is read before the member's own end is told; and so are digests of an
// appliance's manifest, wherever that stands.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/images/archives/member_choice.hpp"
#include "formats/images/archives/member_stream.hpp"
#include "formats/images/archives/ova/package.hpp"
#include "formats/images/archives/tar/walker.hpp"
#include "io/byte_stream.hpp"

namespace formats::tar {

class MemberOfStream final : public io::ByteStream {
 public:
  // Reads up to the content of the member: `wanted` (see archives::choose_member), or the first
  // that may be an image. Throws Error; ErrorKind::refused where there is none.
  MemberOfStream(std::unique_ptr<io::ByteStream> archive, const std::string& path,
                 std::string wanted);

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  // Throws ErrorKind::refused in place of the end where another member may be meant as well.
  std::size_t read(std::span<std::byte> buffer) override;

 private:
  [[nodiscard]] bool is_meant(const Member& member) const;
  void take_note(const Member& member);
  void begin(Member member);
  void finish();
  [[nodiscard]] std::string read_text(const Member& member);

  std::unique_ptr<io::ByteStream> archive_;
  archives::MemberList list_;
  std::string wanted_;
  StreamInput input_;
  Walker walker_;
  bool is_appliance_ = false;
  std::vector<ova::Disk> disks_;
  std::vector<ova::FileDigest> manifest_;
  std::string name_;
  std::uint64_t size_ = 0;
  std::size_t chosen_ = 0;  // in the list
  std::unique_ptr<io::ByteStream> content_;
  std::unique_ptr<archives::ContentCheck> check_;
  bool ended_ = false;
};

}  // namespace formats::tar
