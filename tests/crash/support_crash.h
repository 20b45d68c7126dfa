// What the tests of checkpoints that survive anything share: a small run that can be made, killed, resumed
// and compared, and a look at what lies in a folder.
#pragma once

#include "support.h"
#include "support_net.h"

extern "C" {
#include "format/safetensors.h"
}

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <map>

namespace crash {

// The long form of a test tries more; a share of it fits into the suite.
inline bool is_long() {
    return std::getenv("DELTAK_TEST_LONG") != nullptr;
}

// What a process opens once: a context and the data.
struct World {
    support::Context context = support::open_context();
    support::Dataset data = support::synth(context.get(), "synth:spirals", 40);

    World() = default;
    explicit World(dk_log_fn log, void *user) {
        dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
        options.device = device::name();
        options.no_plan_cache = true;
        options.threads = 1;
        options.log = log;
        options.log_user = user;
        options.log_level = DK_LOG_INFO;
        dk_context *made = nullptr;
        EXPECT_EQ(dk_context_create(&made, &options), DK_OK) << dk_error_text();
        context.reset(made);
        data = support::synth(context.get(), "synth:spirals", 40);
    }
};

bool has_checkpoint(const std::string &folder);

// 3 epochs of 8 steps, with an optimizer that has a slot, validation and the best parameters.
constexpr int64_t run_steps = 24;

struct Process {
    const World &world;
    support::Net net;
    support::Trainer trainer;

    explicit Process(const World &given)
        : world(given), net(support::net_for(given.data.get(), {4})) {}

    static dk_train_options training() {
        dk_train_options options = DK_TRAIN_OPTIONS_INIT;
        options.batch = 5;
        options.optimizer = DK_MOMENTUM;
        options.lr = 1e-2;
        options.total_steps = run_steps;
        return options;
    }
    void begin() { trainer = support::trainer(net.get(), training()); }
    dk_status resume(const std::string &path, bool anyway = false) {
        dk_trainer *made = reinterpret_cast<dk_trainer *>(16);
        trainer.reset();
        const dk_status status = dk_trainer_resume(&made, net.get(), nullptr, path.c_str(), anyway);
        EXPECT_EQ(made == nullptr, status != DK_OK);
        trainer.reset(made);
        return status;
    }

    dk_status begin_or_resume(const std::string &folder) {
        if (has_checkpoint(folder)) return resume(folder);
        begin();
        return DK_OK;
    }

    struct Fitting {
        std::string folder; // "" = no checkpoints
        int64_t every = 1;  // steps
        int64_t keep = 2;   //
        int64_t stop = 0;   // at this step; 0 = at the end
        dk_fit_result *result = nullptr;
    };
    dk_status fit(const Fitting &how) {
        dk_fit_options options = DK_FIT_OPTIONS_INIT;
        int64_t stop = how.stop;
        options.epochs = 3;
        options.restore_best = true;
        options.checkpoint = how.folder.empty() ? nullptr : how.folder.c_str();
        options.checkpoint_steps = how.every;
        options.checkpoint_seconds = 0.0;
        options.checkpoint_keep = how.keep;
        options.progress_user = &stop;
        options.progress = [](void *at, const dk_progress *progress) {
            return progress->step == *static_cast<int64_t *>(at) ? 1 : 0;
        };
        return dk_trainer_fit(trainer.get(), world.data.get(), world.data.get(), &options,
                              how.result);
    }
    std::vector<uint32_t> bits() const { return support::parameter_bits(net.get()); }
};

// The final bits of a run that nothing happened to.
inline std::vector<uint32_t> uninterrupted(const World &world) {
    Process run(world);
    run.begin();
    EXPECT_EQ(run.fit({"", 0, 1, 0, nullptr}), DK_OK) << dk_error_text();
    return run.bits();
}

// A folder as a run leaves it that was stopped after each of these steps and gone on with, saving then
// alone: between stops a save that is due may be put off.
inline void stopped_run(const World &world, const std::string &folder,
                        const std::vector<int64_t> &stops) {
    for (int64_t stop : stops) {
        Process process(world);
        ASSERT_EQ(process.begin_or_resume(folder), DK_OK) << dk_error_text();
        ASSERT_EQ(process.fit({folder, 0, 9, stop, nullptr}), DK_E_STOPPED) << dk_error_text();
    }
}

inline std::string name_of(int64_t step) {
    char name[64];
    std::snprintf(name, sizeof name, "checkpoint-%012lld.safetensors",
                  static_cast<long long>(step));
    return name;
}

inline bool is_checkpoint(const std::string &name) {
    return name.rfind("checkpoint-", 0) == 0 && name == name_of(std::atoll(name.c_str() + 11));
}

// Names and bytes of the files in a folder.
using Files = std::map<std::string, std::string>;
inline Files files_of(const std::string &folder) {
    Files files;
    std::error_code error;
    for (const auto &entry : std::filesystem::directory_iterator(folder, error))
        if (entry.is_regular_file()) files[entry.path().filename()] = support::slurp(entry.path());
    return files;
}

// In place of what is in the folder, which stays the same one.
inline void write_files(const std::string &folder, const Files &files) {
    std::filesystem::create_directory(folder);
    for (const auto &entry : std::filesystem::directory_iterator(folder))
        std::filesystem::remove_all(entry.path());
    for (const auto &[name, bytes] : files)
        std::ofstream(folder + "/" + name, std::ios::binary) << bytes;
}

inline bool has_checkpoint(const std::string &folder) {
    const Files files = files_of(folder);
    return std::any_of(files.begin(), files.end(),
                       [](const auto &file) { return is_checkpoint(file.first); });
}

// Whether bytes are a safetensors file whose hashes are right.
inline dk_status verify(const std::string &bytes) {
    const support::Allocator allocator;
    dki_safetensors file;
    dk_status status =
        dki_safetensors_parse(allocator.get(), "file", bytes.data(), bytes.size(), &file);
    if (status) return status;
    status = dki_safetensors_verify(allocator.get(), &file, true);
    dki_safetensors_release(allocator.get(), &file);
    return status;
}

// A folder that a run was killed in: each checkpoint in it is whole, and the run goes on from the newest
// to the bits of `expected`, and leaves nothing half-written.
inline void expect_survived(const World &world, const std::string &folder,
                            const std::vector<uint32_t> &expected) {
    for (const auto &[name, bytes] : files_of(folder))
        EXPECT_TRUE(!is_checkpoint(name) || verify(bytes) == DK_OK)
            << name << ": " << dk_error_text();
    Process run(world);
    ASSERT_EQ(run.begin_or_resume(folder), DK_OK) << dk_error_text();
    ASSERT_EQ(run.fit({folder, 8, 2, 0, nullptr}), DK_OK) << dk_error_text();
    EXPECT_EQ(run.bits(), expected);
    for (const auto &[name, bytes] : files_of(folder)) EXPECT_TRUE(is_checkpoint(name)) << name;
}

// Ends as waitpid says: 128 + n where signal n ended it.
inline int wait_for(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

} // namespace crash
