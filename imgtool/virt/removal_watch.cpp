#include <condition_variable>
#include <mutex>
#include <utility>

#include "imgtool/virt/libvirt_calls.hpp"

namespace imgtool::virt {

// Events arrive on the event loop's thread, also while the watch ends.
struct RemovalWatch::Shared {
  std::string alias;
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Outcome> outcome;

  void note(const char* device, Outcome what) {
    if (device == nullptr || alias != device) return;
    const std::lock_guard lock(mutex);
    outcome = what;
    changed.notify_all();
  }
};

RemovalWatch::RemovalWatch(const Connection& connection, const Domain& domain, std::string alias)
    : shared_(std::make_shared<Shared>()), connection_(connection.get()) {
  calls::run_event_loop();
  shared_->alias = std::move(alias);
  using Holder = std::shared_ptr<Shared>;
  const auto removed = [](virConnectPtr, virDomainPtr, const char* device, void* holder) {
    (*static_cast<Holder*>(holder))->note(device, Outcome::removed);
  };
  const auto refused = [](virConnectPtr, virDomainPtr, const char* device, void* holder) {
    (*static_cast<Holder*>(holder))->note(device, Outcome::refused);
  };
  const auto listen = [&](int event, virConnectDomainEventGenericCallback callback) {
    auto* holder = new Holder(shared_);
    const int id =
        virConnectDomainEventRegisterAny(connection_, domain.get(), event, callback, holder,
                                         [](void* opaque) { delete static_cast<Holder*>(opaque); });
    if (id < 0) {
      delete holder;  // a driver without events: wait() polls
    } else {
      callbacks_.push_back(id);
    }
  };
  virConnectDomainEventDeviceRemovedCallback on_removed = removed;
  virConnectDomainEventDeviceRemovalFailedCallback on_refused = refused;
  listen(VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_removed));
  listen(VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, VIR_DOMAIN_EVENT_CALLBACK(on_refused));
}

RemovalWatch::~RemovalWatch() {
  for (const int id : callbacks_) virConnectDomainEventDeregisterAny(connection_, id);
}

RemovalWatch::Outcome RemovalWatch::wait(std::chrono::milliseconds timeout,
                                         const std::function<bool()>& is_gone,
                                         const std::function<bool()>& stop) {
  using namespace std::chrono_literals;
  const auto end = std::chrono::steady_clock::now() + timeout;
  auto next_look = std::chrono::steady_clock::now();
  while (true) {
    {
      std::unique_lock lock(shared_->mutex);
      shared_->changed.wait_for(lock, 100ms, [&] { return shared_->outcome.has_value(); });
      if (shared_->outcome) return *shared_->outcome;
    }
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_look) {
      if (is_gone()) return Outcome::removed;
      next_look = now + 1s;
    }
    if (stop()) return Outcome::stopped;
    if (now >= end) return Outcome::timeout;
  }
}

}  // namespace imgtool::virt
