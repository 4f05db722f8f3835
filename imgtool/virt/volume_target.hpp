// A storage volume as the target of a copy: a stream to libvirtd, in order, holes as holes.
#pragma once

#include <string>

#include "imgtool/virt/libvirt.hpp"
#include "io/buffer_pool.hpp"
#include "io/sequencer.hpp"
#include "io/target.hpp"

namespace imgtool::virt {

// Chunks may be handed in side by side; each is sent when its turn has come. Sending blocks the
// ring's thread, while what was asked of the source goes on. Throws LibvirtError.
class VolumeTarget final : public io::Target {
 public:
  // `stream` outlives the target. `holes`: zeros are sent as holes, which takes a volume that has
  // nothing in it.
  VolumeTarget(io::Ring& ring, Stream& stream, std::string name, bool holes);

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::uint64_t capacity() const override { return ~std::uint64_t{0}; }
  [[nodiscard]] std::uint64_t zero_grain() const override;
  io::Task<> write(std::uint64_t offset, io::Buffer buffer) override;
  io::Task<> zero(io::ByteRange range) override;
  io::Task<> flush() override;
  void abandon() override { sequencer_.abandon(); }

 private:
  io::Task<> take_turn(std::uint64_t offset);
  void send_zeros(std::uint64_t length);

  Stream& stream_;
  std::string name_;
  bool holes_;
  io::Sequencer sequencer_;
  io::AlignedMemory zeros_;
};

}  // namespace imgtool::virt
