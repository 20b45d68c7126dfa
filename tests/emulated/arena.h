// The emulation's memory: a range of addresses for the device, one for pinned memory of the host.
// Addresses aren't used twice while anything is allocated, so that what was freed is found out.
#ifndef DELTAK_TESTS_EMULATED_ARENA_H
#define DELTAK_TESTS_EMULATED_ARENA_H

#include <cstddef>
#include <cstdint>
#include <map>

namespace emulated {

struct Allocation {
    char *data = nullptr;
    size_t bytes = 0;
    bool device = false;
    bool ours = false; ///< deltak's, not the application's
};

class Arena {
  public:
    Arena();
    /// NULL where the address space is used up. Device memory begins as 0xFF bytes (NaN in every type),
    /// so that nothing lives on zeros that nobody wrote; of large blocks both ends do.
    char *take(size_t bytes, bool device, bool ours);
    /// Gives it back; whoever reads it later gets garbage, or a report.
    void release(char *data);
    void release_all();
    size_t in_use(bool device) const { return used_[device]; }
    /// The allocation in which all of [p, p + bytes) lies, or NULL.
    const Allocation *find(const void *p, size_t bytes) const;
    const std::map<const char *, Allocation> &all() const { return allocations_; }
    /// Both ranges, allocated or not.
    uintptr_t first() const { return reinterpret_cast<uintptr_t>(base_); }
    size_t bytes() const { return 2 * range; }
    /// Opens device memory to the host, or closes it: a few hundred times, as long as anything is
    /// allocated; later it stays open, since every time takes the kernel some microseconds.
    void open(bool open);

  private:
    static constexpr size_t range = size_t{256} << 30;
    char *base_;                         // of the device's range; pinned memory's follows
    char *next_[2] = {nullptr, nullptr}; // pinned, device
    char *top_[2]; // up to here pinned memory is open; that of the device is, or is closed
    size_t used_[2] = {0, 0};
    bool open_ = false;
    int closings_ = 0; // that are left
    std::map<const char *, Allocation> allocations_;
    void rewind(bool device);
    void grow(bool device);
};

/// While one lives, the host may touch device memory. They nest.
class Access {
  public:
    Access();
    ~Access();
    Access(const Access &) = delete;
    Access &operator=(const Access &) = delete;

  private:
    bool outer_ = false;
    static int depth_; // under the device's lock
};

/// Sets bytes, sparing the pages of large zeros.
void set_bytes(void *memory, int value, size_t bytes);

} // namespace emulated

#endif
