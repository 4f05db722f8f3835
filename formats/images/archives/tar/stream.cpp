#include "formats/images/archives/tar/stream.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "formats/images/archives/ova/digest_check.hpp"
#include "formats/images/archives/tar/member.hpp"
#include "io/error.hpp"

namespace formats::tar {
namespace {

// What is stored of the member that the walk has come to.
class StoredStream final : public io::ByteStream {
 public:
  explicit StoredStream(Walker& walker) : walker_(walker) {}
  std::size_t read(std::span<std::byte> buffer) override { return walker_.read_data(buffer); }

 private:
  Walker& walker_;
};

}  // namespace

MemberOfStream::MemberOfStream(std::unique_ptr<io::ByteStream> archive, const std::string& path,
                               std::string wanted)
    : archive_(std::move(archive)),
      list_(path),
      wanted_(std::move(wanted)),
      input_(*archive_),
      walker_(input_, list_.path()) {
  while (content_ == nullptr) {
    auto member = walker_.next();
    if (!member) {
      (void)archives::choose_member(list_, wanted_);  // says what there is
      throw io::Error::refusal(path, "holds none of the disks that its descriptor names");
    }
    take_note(*member);
    if (is_meant(*member)) begin(std::move(*member));
  }
}

bool MemberOfStream::is_meant(const Member& member) const {
  if (!wanted_.empty()) return archives::is_named(member.name, wanted_);
  if (disks_.empty()) return member.size > 0 && !archives::is_companion(member.name);
  return std::any_of(disks_.begin(), disks_.end(),
                     [&](const ova::Disk& disk) { return disk.file == member.name; });
}

void MemberOfStream::take_note(const Member& member) {
  list_.add(member.name, member.size);
  if (member.sparse || member.size > ova::most_text_bytes) return;
  if (ova::is_descriptor(member.name) && !is_appliance_) {
    is_appliance_ = true;
    disks_ = ova::stored_disks(ova::parse_descriptor(read_text(member)));
    if (wanted_.empty() && disks_.size() > 1) ova::refuse_several(list_.path(), disks_);
  } else if (is_appliance_ && ova::is_manifest(member.name)) {
    manifest_ = ova::parse_manifest(read_text(member));
  }
}

std::string MemberOfStream::read_text(const Member& member) {
  std::string text(member.size, '\0');
  auto rest = std::as_writable_bytes(std::span(text));
  while (!rest.empty()) rest = rest.subspan(walker_.read_data(rest));
  return text;
}

void MemberOfStream::begin(Member member) {
  name_ = member.name;
  size_ = member.size;
  chosen_ = list_.members().size() - 1;
  content_ = std::make_unique<StoredStream>(walker_);
  if (member.sparse) {
    content_ =
        std::make_unique<SparseStream>(std::move(content_), std::move(member.segments), size_);
  }
  check_ = ova::make_digest_check(manifest_, name_, list_.path());
  if (is_appliance_ && manifest_.empty()) {
    check_ = ova::make_late_digest_check(manifest_, name_, list_.path());
  }
}

std::size_t MemberOfStream::read(std::span<std::byte> buffer) {
  if (ended_) return 0;
  const std::size_t count = content_->read(buffer);
  if (count == 0) {
    finish();
    return 0;
  }
  if (check_) check_->update(buffer.first(count));
  return count;
}

void MemberOfStream::finish() {
  while (auto member = walker_.next()) take_note(*member);
  if (check_) check_->finish();
  const bool named_by_descriptor = wanted_.empty() && !disks_.empty();
  if (!named_by_descriptor && archives::choose_member(list_, wanted_) != chosen_) {
    archives::refuse_several(list_.path(), list_.members());
  }
  // What is packed around the archive may have a checksum at its end.
  std::array<std::byte, 16 * io::KiB> behind;
  while (archive_->read(behind) != 0) {
  }
  ended_ = true;
}

}  // namespace formats::tar
