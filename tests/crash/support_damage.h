// A folder with an older checkpoint that is whole, and one that a test damages.
#pragma once

#include "support_crash.h"

namespace crash {

class Damage : public support::TempDirectory {
  protected:
    static constexpr int64_t older_step = 8, newer_step = 13; // the newer one is within an epoch
    World world;
    std::string folder, older, newer; // paths
    std::string bytes;                // of the newer one
    size_t header = 0;                // bytes before the tensors: the length and the text

    void SetUp() override {
        TempDirectory::SetUp();
        folder = path("run");
        stopped_run(world, folder, {older_step, newer_step});
        older = folder + "/" + name_of(older_step);
        newer = folder + "/" + name_of(newer_step);
        bytes = support::slurp(newer);
        uint64_t length = 0;
        ASSERT_GT(bytes.size(), 8u);
        std::memcpy(&length, bytes.data(), 8);
        header = 8 + size_t(length);
        ASSERT_LT(header, bytes.size());
        net_ = std::make_unique<Process>(world);
        before_ = net_->bits();
    }
    void put(const std::string &damaged) const {
        std::ofstream(newer, std::ios::binary | std::ios::trunc) << damaged;
    }
    // Resuming from the folder is refused, changes nothing, and offers the older one.
    void expect_offer(const std::string &damaged) {
        put(damaged);
        ASSERT_EQ(net_->resume(folder), DK_E_MODEL) << dk_error_text();
        support::expect_error_names(newer);
        support::expect_error_names("resume from " + older);
        ASSERT_EQ(net_->bits(), before_);
    }
    // What is offered can be gone on from.
    void expect_older_resumes() {
        Process process(world);
        ASSERT_EQ(process.resume(older), DK_OK) << dk_error_text();
        ASSERT_EQ(dk_trainer_steps(process.trainer.get()), older_step);
        ASSERT_EQ(process.fit({folder, 8, 9, 0, nullptr}), DK_OK) << dk_error_text();
        EXPECT_EQ(process.bits(), uninterrupted(world));
    }

    std::unique_ptr<Process> net_;
    std::vector<uint32_t> before_;
};

inline std::string with_bit(std::string bytes, size_t byte, unsigned bit) {
    bytes[byte] = char(bytes[byte] ^ (1 << bit));
    return bytes;
}

} // namespace crash
