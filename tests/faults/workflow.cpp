#include "workflow.h"

#include "support_promise.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <iterator>
#include <map>
#include <ostream>
#include <thread>

namespace faults {
namespace {

namespace fs = std::filesystem;

long entries_of(const char *directory) {
    return std::distance(fs::directory_iterator(directory), {});
}

/// What must be the same before the objects were made and after they are gone.
struct Levels {
    long blocks = held().blocks, maps = held().maps, descriptors = entries_of("/proc/self/fd"),
         threads = entries_of("/proc/self/task");
};

// A thread that was joined may be listed for a moment longer.
void expect_back_at(const Levels &before) {
    Levels now;
    for (int i = 0; i < 60000 && now.threads > before.threads; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        now = Levels();
    }
    EXPECT_EQ(now.blocks, before.blocks) << "blocks of memory";
    EXPECT_EQ(now.maps, before.maps) << "maps";
    EXPECT_EQ(now.descriptors, before.descriptors);
    EXPECT_EQ(now.threads, before.threads);
}

std::string seen_of(const Subject &subject, const support::Folder &folder) {
    return subject.state() + files_of(folder);
}

/// What the act gives undisturbed.
std::string undisturbed(const Workflow &workflow) {
    const support::Folder folder;
    const Subject subject = workflow.make(folder);
    EXPECT_EQ(subject.act(), DK_OK) << dk_error_text();
    return seen_of(subject, folder);
}

bool has(const std::string &text, const std::string &part) {
    return text.find(part) != std::string::npos;
}

void expect_told(const Kind &kind, dk_status status, const std::string &text,
                 const support::Folder &folder) {
    EXPECT_EQ(status, kind.status) << text;
    for (const std::string &part : kind.says) EXPECT_TRUE(has(text, part)) << text;
    if (kind.names_a_file) {
        EXPECT_TRUE(has(text, folder.path())) << "names no file: " << text;
    }
}

/// After a failure the same act succeeds; a trainer that stopped half-way asks for a new one first.
void expect_usable(const Subject &subject, const Kind &kind) {
    dk_status status = subject.act();
    if (status == DK_E_STATE && subject.renew && kind.ends_steps) {
        EXPECT_TRUE(has(dk_error_text(), "make a new trainer")) << dk_error_text();
        subject.renew();
        status = subject.act();
    }
    EXPECT_EQ(status, DK_OK) << "a second time: " << dk_error_text();
}

void expect_as_before(const Kind &kind, const std::string &before, const std::string &now,
                      const std::string &right) {
    // Only that the new name outlives a power cut isn't sure: the new file is in its place.
    EXPECT_TRUE(now == before || (kind.in_place && now == right)) << "something changed";
}

/// What the workflow says holds after a failure.
void expect_after(const Workflow &workflow, const Kind &kind, const Subject &subject,
                  const support::Folder &folder, const std::string &before,
                  const std::string &right) {
    const bool gpu = kind.on_the_gpu && workflow.after == After::on_the_host;
    if (workflow.after != After::got_on && !gpu)
        expect_as_before(kind, before, seen_of(subject, folder), right);
    expect_usable(subject, kind);
    // A step that a GPU did, but couldn't say so, is done.
    if (workflow.after == After::got_on || (gpu && subject.renew)) return;
    EXPECT_EQ(seen_of(subject, folder) == right, true) << "another result a second time";
}

/// One failure. False where the call wasn't made: there is no such failure.
bool survives(const Workflow &workflow, const Kind &kind, long at, bool for_ever,
              const std::string &right) {
    const support::Folder folder;
    const Subject subject = workflow.make(folder);
    const std::string before = seen_of(subject, folder);
    kind.arm(at, for_ever);
    const dk_status status = subject.act();
    const bool happened = kind.disarm();
    const std::string text = dk_error_text();
    if (status == DK_OK) {
        EXPECT_TRUE(!happened || kind.status == DK_OK || kind.may_pass())
            << "the failure went unnoticed";
        if (kind.for_good && happened) return true;
        EXPECT_EQ(seen_of(subject, folder) == right, true) << "another result";
        return happened;
    }
    EXPECT_TRUE(happened) << text;
    expect_told(kind, status, text, folder);
    if (kind.for_good) {
        const dk_status again = subject.act();
        EXPECT_TRUE(again == kind.status || (again == DK_E_STATE && subject.renew))
            << "a second time: " << dk_error_text();
        return happened;
    }
    expect_after(workflow, kind, subject, folder, before, right);
    return happened;
}

long after(long n, long of) {
    return n + 1 + (of ? n / of : 0);
}

} // namespace

void PrintTo(const Workflow &workflow, std::ostream *out) {
    *out << workflow.name;
}

std::string name_of(const testing::TestParamInfo<Workflow> &info) {
    return info.param.name;
}

std::string files_of(const support::Folder &folder) {
    std::map<std::string, std::string> files;
    for (const auto &entry : fs::recursive_directory_iterator(folder.path())) {
        std::ifstream file(entry.path(), std::ios::binary);
        if (entry.is_regular_file())
            files[entry.path()] = {std::istreambuf_iterator<char>(file), {}};
    }
    std::string all;
    for (const auto &[name, bytes] : files)
        all += "\n" + name.substr(folder.path().size()) + "\n" + bytes;
    return all;
}

const std::vector<Meaning> &meanings() {
    static const std::vector<Meaning> all = {
        {Function::posix_memalign, {ENOMEM}, DK_E_MEMORY, "memory"},
        {Function::json_malloc, {ENOMEM}, DK_E_MEMORY, "memory"},
        {Function::newlocale, {ENOMEM}, DK_E_MEMORY, "memory"},
        {Function::onednn, {ENOMEM}, DK_E_MEMORY, "memory"},
        {Function::pthread_create, {EAGAIN}, DK_E_MEMORY, "thread"},
        {Function::open, {EMFILE, ENFILE, EACCES, ENOMEM, EIO, EROFS}, DK_E_IO, "can't", true},
        {Function::read, {EIO, ENOMEM}, DK_E_IO, "can't read"},
        {Function::write, {ENOSPC, EDQUOT, EIO, EFBIG, EROFS, 0}, DK_E_IO, "can't write"},
        {Function::fsync, {EIO, ENOSPC, EDQUOT}, DK_E_IO, "can't write", true},
        {Function::close, {EIO, EDQUOT}, DK_E_IO, "can't write", true},
        {Function::stat, {EIO, EACCES, ENOMEM}, DK_E_IO, ""},
        {Function::fstat, {EIO, ENOMEM}, DK_E_IO, "can't read"},
        {Function::faccessat, {EROFS, EIO}, DK_E_IO, "can't write"},
        {Function::fchmod, {EPERM, EROFS, EIO}, DK_E_IO, "can't write"},
        {Function::rename, {EIO, ENOSPC, EDQUOT, EROFS, EXDEV}, DK_E_IO, "can't write"},
        {Function::realpath, {EIO, ENOMEM, EACCES}, DK_E_IO, "can't write"},
        {Function::mmap, {ENOMEM, ENODEV, EAGAIN}, DK_E_IO, "can't map"},
        {Function::opendir, {EMFILE, EACCES, ENOMEM}, DK_E_IO, "can't read"},
        {Function::readdir, {EIO}, DK_E_IO, "can't read"},
        {Function::posix_madvise, {EIO, EBADF}, DK_OK, ""},
        {Function::fopen, {EMFILE}, DK_OK, ""}, // /proc/meminfo and /proc/cpuinfo
        {Function::sched_getaffinity, {EINVAL}, DK_OK, ""},
    };
    return all;
}

Kind kind_of(const Meaning &meaning, int error) {
    const Function function = meaning.function;
    const bool memory = function <= Function::onednn;
    Kind kind;
    kind.name = std::string(name_of(function)) + ": " + strerror(error);
    kind.counted_as = memory ? "an allocation fails" : "a call of the system fails";
    kind.arm = [=](long at, bool for_ever) { arm({function, at, for_ever, error}); };
    kind.disarm = [] { return disarm() > 0; };
    kind.may_pass = [passes = meaning.may_pass] { return passes; };
    kind.status = meaning.status;
    kind.says = {meaning.says};
    kind.names_a_file = meaning.status == DK_E_IO;
    if (kind.names_a_file) kind.says.push_back(strerror(error ? error : EIO));
    kind.in_place = function == Function::fsync || function == Function::open; /* of the folder */
    kind.ends_steps = memory;
    // Where allocations fail for ever the way out is the same for many: some of them will do.
    kind.of_n_for_ever = memory ? 4 : 0;
    return kind;
}

const std::vector<Kind> &system_kinds() {
    static const std::vector<Kind> all = [] {
        std::vector<Kind> made;
        for (const Meaning &meaning : meanings())
            for (int error : meaning.errors) made.push_back(kind_of(meaning, error));
        return made;
    }();
    return all;
}

void survive(const Workflow &workflow, const std::vector<Kind> &kinds) {
    const std::string right = undisturbed(workflow); // whatever loads at first use stays
    const Levels levels;
    std::map<std::string, long> failures;
    for (const Kind &kind : kinds)
        for (bool for_ever : {false, true})
            for (long n = 1; !testing::Test::HasFatalFailure();
                 n = after(n, for_ever ? kind.of_n_for_ever : kind.of_n)) {
                SCOPED_TRACE(testing::Message() << kind.name << ", call " << n
                                                << (for_ever ? " and all later ones" : ""));
                const bool happened = survives(workflow, kind, n, for_ever, right);
                kind.restore();
                if (!happened) break;
                ++failures[kind.counted_as];
                expect_back_at(levels);
                ASSERT_FALSE(testing::Test::HasFailure());
            }
    EXPECT_FALSE(failures.empty()) << "the test tests nothing";
    for (const auto &[how, count] : failures)
        support::promise("Every failure is survived", how.c_str(), count);
}

void weather(const Workflow &workflow) {
    const std::string right = undisturbed(workflow);
    const Weather kinds[] = {{3, 0, -1, 0}, {0, 1, -1, 0}, {0, 7, -1, 0}, {2, 1000, -1, 0}};
    long felt = 0;
    for (const Weather &kind : kinds) {
        SCOPED_TRACE(testing::Message() << kind.interruptions << " EINTR, " << kind.longest);
        const support::Folder folder;
        const Subject subject = workflow.make(folder);
        set_weather(kind);
        const dk_status status = subject.act();
        felt += effects().interruptions + effects().shortened;
        set_weather({});
        EXPECT_EQ(status, DK_OK) << dk_error_text();
        EXPECT_EQ(seen_of(subject, folder) == right, true) << "another result";
    }
    support::promise("Every failure is survived", "a read or write is interrupted or cut short",
                     felt);
}

} // namespace faults
