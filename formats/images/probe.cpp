#include "formats/images/probe.hpp"

#include <array>

#include "formats/images/archives/tar/header.hpp"
#include "formats/images/archives/zip/directory.hpp"
#include "formats/images/dmg/layout.hpp"
#include "formats/images/parallels/parallels.hpp"
#include "formats/images/qcow1/qcow1.hpp"
#include "formats/images/qcow2/header.hpp"
#include "formats/images/qed/qed.hpp"
#include "formats/images/simg/layout.hpp"
#include "formats/images/streams/codec.hpp"
#include "formats/images/vdi/header.hpp"
#include "formats/images/vhd/footer.hpp"
#include "formats/images/vhdx/header.hpp"
#include "formats/images/vmdk/header.hpp"

namespace formats {

Format probe(std::span<const std::byte> start) {
  if (qcow1::has_magic(start)) return Format::qcow;
  if (qcow2::has_magic(start)) return Format::qcow2;
  if (simg::has_magic(start)) return Format::simg;
  if (vdi::has_magic(start)) return Format::vdi;
  if (vhd::has_magic(start)) return Format::vpc;
  if (vhdx::has_magic(start)) return Format::vhdx;
  if (qed::has_magic(start)) return Format::qed;
  if (parallels::has_magic(start)) return Format::parallels;
  if (vmdk::is_vmdk(start)) return Format::vmdk;
  if (zip::has_magic(start)) return Format::zip;
  if (tar::has_magic(start)) return Format::tar;
  return streams::recognise(start).value_or(Format::raw);
}

Format probe(const io::File& file) {
  const io::FileKind kind = file.status().kind;
  if (kind == io::FileKind::regular && dmg::has_trailer(file)) return Format::dmg;
  std::array<std::byte, probe_bytes> start{};
  const Format found = probe(std::span(start).first(file.read_at(0, start)));
  if (kind == io::FileKind::block_device) return found == Format::qcow2 ? found : Format::raw;
  if (found != Format::raw || kind != io::FileKind::regular) return found;
  return vhd::look_at_end(file) == vhd::Ending::fixed ? Format::vpc : Format::raw;
}

}  // namespace formats
