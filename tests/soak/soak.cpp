#include "soak/soak.h"

#include "support_net.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <malloc.h>
#include <thread>
#include <unistd.h>

namespace soak {

namespace {

namespace fs = std::filesystem;

/// The library's allocator, which counts.
struct Allocator {
    std::atomic<int64_t> blocks{0}, bytes{0};
    dk_allocator hooks{&alloc, &release, this};

    static void *alloc(void *user, size_t bytes, size_t alignment) {
        void *memory = nullptr;
        if (posix_memalign(&memory, alignment, bytes ? bytes : 1) != 0) return nullptr;
        ++static_cast<Allocator *>(user)->blocks;
        static_cast<Allocator *>(user)->bytes += static_cast<int64_t>(bytes);
        return memory;
    }
    static void release(void *user, void *memory, size_t bytes) {
        --static_cast<Allocator *>(user)->blocks;
        static_cast<Allocator *>(user)->bytes -= static_cast<int64_t>(bytes);
        std::free(memory);
    }
};

int64_t entries(const char *folder) {
    int64_t count = 0;
    for ([[maybe_unused]] const fs::directory_entry &entry : fs::directory_iterator(folder))
        ++count;
    return count;
}

/// A sanitizer keeps what was released for a while, and would be what is seen to grow.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
constexpr bool sanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool sanitized = false;
#endif

Possessions look(const Allocator &allocator) {
    Possessions now;
    int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages >> pages; // the second is what is resident
    const struct mallinfo2 heap = mallinfo2();
    now.handles = entries("/proc/self/fd");
    now.threads = entries("/proc/self/task");
    now.resident = sanitized ? 0 : pages * sysconf(_SC_PAGESIZE);
    now.heap = sanitized ? 0 : static_cast<int64_t>(heap.uordblks + heap.hblkhd);
    now.library_blocks = allocator.blocks;
    now.library = allocator.bytes;
    return now;
}

/// Processor time of all threads: other programs' turns aren't in it.
double processor_ms() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

double seconds() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
}

support::Context context_of(const Allocator &allocator, int threads) {
    dk_context_options options = DK_CONTEXT_OPTIONS_INIT;
    options.device = device::name();
    options.no_plan_cache = true;
    options.threads = threads;
    options.allocator = allocator.hooks;
    dk_context *made = nullptr;
    return dk_context_create(&made, &options) ? nullptr : support::Context(made);
}

support::Arrays random_classes(const Options &options, int64_t rows, uint32_t seed) {
    support::Arrays arrays;
    arrays.features = options.inputs;
    arrays.classes = options.classes;
    arrays.x = support::normal(static_cast<size_t>(rows * options.inputs), seed);
    for (int64_t i = 0; i < rows; ++i)
        arrays.labels.push_back(static_cast<int32_t>(i % options.classes));
    return arrays;
}

dk_train_options train_options(const Options &options) {
    dk_train_options train = DK_TRAIN_OPTIONS_INIT;
    train.batch = options.batch;
    train.schedule = DK_SCHEDULE_CONSTANT;
    train.warmup = 0.0;
    train.lr = 1e-4;
    return train;
}

class Soak {
  public:
    explicit Soak(const Options &options)
        : options_(options), context_(context_of(allocator_, options.threads)),
          rows_(random_classes(options, options.epoch_steps * options.batch, 1)),
          few_(random_classes(options, options.batch, 2)) {
        std::string name = (fs::temp_directory_path() / "deltak-soak-XXXXXX").string();
        if (mkdtemp(name.data())) folder_ = name;
    }
    ~Soak() {
        std::error_code ignored;
        if (!folder_.empty()) fs::remove_all(folder_, ignored);
    }
    Soak(const Soak &) = delete;
    Soak &operator=(const Soak &) = delete;

    Result run() {
        if (!context_) return fail("dk_context_create");
        began_ = seconds();
        fit_ms_.reserve(1 << 20); // so that they don't grow
        single_ms_.reserve(1 << 20);
        const std::vector<int64_t> hidden = {options_.hidden, options_.hidden};
        const support::Dataset train = rows_.open(context_.get()),
                               valid = few_.open(context_.get());
        const support::Net fitted = support::net_for(train.get(), hidden, DK_RELU),
                           stepped = support::net_for(train.get(), hidden, DK_RELU, 2);
        const support::Trainer fit = support::trainer(fitted.get(), train_options(options_));
        stepper_ = support::trainer(stepped.get(), train_options(options_));
        dk_fit_options how = DK_FIT_OPTIONS_INIT;
        how.epochs = INT32_MAX;
        how.restore_best = true;
        how.checkpoint = folder_.c_str();
        how.checkpoint_epochs = 10;
        how.checkpoint_seconds = 0.0;
        how.progress_user = this;
        how.progress = [](void *user, const dk_progress *p) {
            return static_cast<Soak *>(user)->after_step(*p);
        };
        dk_fit_result result;
        epoch_began_ = processor_ms();
        const dk_status status = dk_trainer_fit(fit.get(), train.get(), valid.get(), &how, &result);
        stepper_.reset();
        if (status != DK_E_STOPPED || !result_.failed.empty()) return fail("dk_trainer_fit");
        result_.checkpoints = result.checkpoints;
        result_.checkpoints_failed = result.checkpoints_failed;
        result_.seconds = seconds() - began_;
        result_.fit = drift_of(fit_ms_);
        result_.single = drift_of(single_ms_);
        return result_;
    }

  private:
    Result fail(const std::string &what) {
        if (result_.failed.empty()) result_.failed = what + ": " + dk_error_text();
        return result_;
    }

    /// fit's callback: everything else that is done belongs to the end of an epoch.
    int after_step(const dk_progress &p) {
        if (!p.epoch_end) {
            if (p.step % options_.epoch_steps == 0)
                fit_ms_.push_back((processor_ms() - epoch_began_) /
                                  static_cast<double>(options_.epoch_steps));
            return 0;
        }
        if (!take_steps() || !live()) return 1;
        result_.rounds = p.epoch;
        if (p.epoch == 1) threads_ = look(allocator_).threads;
        result_.steps = p.step + dk_trainer_steps(stepper_.get());
        const double share = done();
        tell(share);
        // The first tenth fills caches, and two checkpoints the folder.
        if (share > 0.1 && p.epoch % 10 == 9 && p.epoch > 20 && result_.begin.handles == 0)
            result_.begin = settled();
        if (share >= 1.0 && p.epoch % 10 == 9 && result_.begin.handles != 0) {
            result_.end = settled();
            return 1;
        }
        epoch_began_ = processor_ms();
        return 0;
    }

    /// What there is when no checkpoint is being written, which takes a thread.
    Possessions settled() const {
        Possessions now = look(allocator_);
        for (int wait = 0; now.threads > threads_ && wait < 6000; ++wait) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
            now = look(allocator_);
        }
        return now;
    }

    /// How much of what was asked for, of whatever lags behind.
    double done() const {
        const double steps =
            static_cast<double>(result_.steps) / static_cast<double>(options_.steps);
        const double lives = options_.lives ? static_cast<double>(result_.lives) /
                                                  static_cast<double>(options_.lives)
                                            : 1.0;
        const double time = options_.seconds > 0.0 ? (seconds() - began_) / options_.seconds : 1.0;
        return std::min({steps, lives, time});
    }

    bool take_steps() {
        dk_batch batch = DK_BATCH_INIT;
        batch.rows = options_.batch;
        const double before = processor_ms();
        for (int64_t i = 0; i < options_.single_steps; ++i) {
            const size_t first = static_cast<size_t>(i % options_.epoch_steps * options_.batch);
            batch.x = rows_.x.data() + first * static_cast<size_t>(options_.inputs);
            batch.labels = rows_.labels.data() + first;
            double loss = 0.0;
            if (dk_trainer_step(stepper_.get(), &batch, &loss)) {
                fail("dk_trainer_step");
                return false;
            }
        }
        single_ms_.push_back((processor_ms() - before) /
                             static_cast<double>(options_.single_steps));
        return true;
    }

    /// Makes, uses and destroys one of everything, as often as the steps so far ask for.
    bool live() {
        const int64_t steps = dk_trainer_steps(stepper_.get()) *
                              (options_.epoch_steps + options_.single_steps) /
                              options_.single_steps;
        const int64_t wanted = options_.lives * steps / options_.steps;
        for (; result_.lives < wanted; ++result_.lives)
            if (!one_life()) return false;
        return true;
    }

    bool one_life() {
        Options small = options_;
        small.inputs = 5;
        small.classes = 3;
        const support::Arrays arrays = random_classes(small, 12, 3);
        const support::Context context = context_of(allocator_, 2);
        if (!context) return fail("dk_context_create"), false;
        const support::Dataset set = arrays.open(context.get());
        const auto [rest, part] = support::split(set.get(), 0.25);
        const support::Net net = support::net_for(rest.get(), {4});
        const support::Trainer trainer = support::trainer(net.get(), train_options(small));
        dk_fit_options fit = DK_FIT_OPTIONS_INIT;
        fit.epochs = 1;
        dk_session *made = nullptr;
        if (dk_trainer_fit(trainer.get(), rest.get(), part.get(), &fit, nullptr) ||
            dk_session_create(&made, net.get(), 3, DK_SESSION_GRADIENTS))
            return fail("a short life"), false;
        const support::Session session(made);
        std::vector<float> y(9);
        if (dk_session_forward(session.get(), arrays.x.data(), 3, y.data()))
            return fail("dk_session_forward"), false;
        return true;
    }

    void tell(double share) {
        if (!options_.progress || share < told_ + 0.01) return;
        told_ = share;
        const Possessions now = look(allocator_);
        std::fprintf(options_.progress,
                     "%3.0f %%, %.0f s: %lld steps (%.3f ms, %.3f ms alone), %lld lives, %.1f MiB "
                     "resident, %.1f MiB of the heap, %lld handles, %lld threads\n",
                     std::min(100.0 * share, 100.0), seconds() - began_,
                     static_cast<long long>(result_.steps), fit_ms_.back(), single_ms_.back(),
                     static_cast<long long>(result_.lives),
                     static_cast<double>(now.resident) / 1048576.0,
                     static_cast<double>(now.heap) / 1048576.0, static_cast<long long>(now.handles),
                     static_cast<long long>(now.threads));
        std::fflush(options_.progress);
    }

    const Options options_;
    Allocator allocator_;
    support::Context context_;
    support::Arrays rows_, few_;
    support::Trainer stepper_;
    std::string folder_;
    Result result_;
    std::vector<double> fit_ms_, single_ms_;
    int64_t threads_ = 0; // before the first checkpoint
    double began_ = 0.0, epoch_began_ = 0.0, told_ = 0.0;
};

} // namespace

Result run(const Options &options) {
    return Soak(options).run();
}

} // namespace soak
