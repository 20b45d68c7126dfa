// Failures under the command, each in a process of its own: the exit code, one line that says what
// failed, old outputs or whole new ones, and nothing beside them.
#include "workflow.h"

#include "support.h"
#include "support_extent.h"
#include "support_net.h"
#include "support_promise.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

extern "C" int deltak_main(int argc, char **argv);

namespace faults {
namespace {

using support::Folder;
using Words = std::vector<std::string>;

// What a child tells the parent, in memory that both have.
struct Told {
    long failures;
};
Told *const told = static_cast<Told *>(
    mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
bool is_child = false;

struct Outcome {
    int code;
    std::string out, err;
    long failures;
};

void redirect(int descriptor, const std::string &path, int flags) {
    const int opened = open(path.c_str(), flags, 0666);
    if (opened < 0 || dup2(opened, descriptor) < 0) _exit(127);
    close(opened);
}

[[noreturn]] void become(Words words, const Folder &streams, const Fault &fault) {
    is_child = true;
    redirect(0, streams / "stdin", O_RDONLY);
    redirect(1, streams / "stdout", O_WRONLY | O_CREAT | O_TRUNC);
    stdout = stream_of(1);
    redirect(2, streams / "stderr", O_WRONLY | O_CREAT | O_TRUNC);
    words.insert(words.begin(), "deltak");
    std::vector<char *> arguments;
    for (std::string &word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    atexit([] { told->failures = disarm(); });
    arm(fault);
    exit(deltak_main(static_cast<int>(words.size()), arguments.data()));
}

Outcome run(const Words &words, const Folder &streams, const Fault &fault = {}) {
    told->failures = 0;
    fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) become(words, streams, fault);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return {WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
            support::slurp(streams / "stdout"), support::slurp(streams / "stderr"), told->failures};
}

std::string table(bool labels) {
    std::string rows = labels ? "a,b,kind\n" : "a,b\n";
    for (int i = 0; i < 30; ++i)
        rows += std::to_string(i) + "," + std::to_string(i % 7) +
                (!labels ? "\n"
                 : i % 2 ? ",odd\n"
                         : ",even\n");
    return rows;
}

struct Command {
    const char *name;
    Words words;     ///< a word that begins with @ is a file in the folder
    Words outputs;   ///< files that are either as they were or wholly new
    bool prints_all; ///< what it prints is the same every time
};

const Command commands[] = {
    {"Train",
     {"train",     "--data",   "@rows.csv", "--valid-fraction",
      "0.3",       "--epochs", "2",         "--hidden",
      "4",         "--device", "cpu",       "--threads",
      "2",         "--quiet",  "--out",     "@new",
      "--metrics", "@metrics", "--plot",    "@plot"},
     {"new", "plot"},
     false},
    {"Predict",
     {"predict", "--model", "@model", "--data", "@features.csv", "--device", "cpu", "--threads",
      "1", "--out", "@labels"},
     {"labels"},
     true},
    {"PredictStream",
     {"predict", "--model", "@model", "--data", "-", "--device", "cpu", "--threads", "1"},
     {},
     true},
    {"Inspect", {"inspect", "@model"}, {}, true},
    {"InspectJson", {"inspect", "@model", "--json"}, {}, true},
    {"EvalJson",
     {"eval", "--model", "@model", "--data", "@rows.csv", "--device", "cpu", "--threads", "1",
      "--json"},
     {},
     true},
};

void PrintTo(const Command &command, std::ostream *out) {
    *out << command.name;
}

/// How often `part` stands in a text.
long count_of(const std::string &text, const std::string &part) {
    long count = 0;
    for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
    return count;
}

const Meaning *meaning_of(Function function) {
    for (const Meaning &meaning : meanings())
        if (meaning.function == function) return &meaning;
    return nullptr;
}

bool is_hint(Function function) {
    const Meaning *meaning = meaning_of(function);
    return meaning && meaning->status == DK_OK;
}

// Whose failure may change nothing. What is at a path is looked at twice before training.
bool may_pass(Function function) {
    const Meaning *meaning = meaning_of(function);
    return is_hint(function) || (meaning && meaning->may_pass) || function == Function::stat;
}

const std::vector<Fault> &kinds() {
    static const std::vector<Fault> all = [] {
        std::vector<Fault> made;
        for (const Meaning &meaning : meanings())
            made.push_back({meaning.function, 0, false, meaning.errors[0]});
        for (Function function : {Function::malloc, Function::calloc, Function::asprintf})
            made.push_back({function, 0, false, ENOMEM});
        for (Function function : {Function::access, Function::fdopen})
            made.push_back({function, 0, false, EIO});
        return made;
    }();
    return all;
}

// The library's allocations fail one after the other in other programs: here some of them. In short every
// other call.
long after(const Fault &fault) {
    const bool many =
        fault.function == Function::posix_memalign || fault.function == Function::json_malloc;
    return fault.at + support::one_in_if_short(2) +
           (many ? fault.at / (fault.for_ever ? 1 : 3) : 0);
}

class CommandFaults : public testing::TestWithParam<Command> {
  protected:
    // oneDNN makes its kernels at their first use: children have them of their parent, which must
    // have no threads of its own when it forks.
    static void SetUpTestSuite() {
        const support::Context context = support::open_context(1);
        const support::Dataset data = support::synth(context.get(), "synth:spirals", 40);
        const support::Net net = support::net_for(data.get(), {4});
        const support::Trainer trainer = support::trainer(net.get());
        EXPECT_EQ(dk_trainer_fit(trainer.get(), data.get(), data.get(), nullptr, nullptr), DK_OK)
            << dk_error_text();
    }

    void SetUp() override {
        folder.write("rows.csv", table(true));
        folder.write("features.csv", table(false));
        streams.write("stdin", "1,2\n3,4\n5,6\n");
        const Outcome made =
            run(at_home({"train", "--data", "@rows.csv", "--epochs", "1", "--hidden", "3",
                         "--quiet", "--device", "cpu", "--threads", "1", "--out", "@model"}),
                streams);
        ASSERT_EQ(made.code, 0) << made.err;
        put_old();
        before = files_of(folder);
    }

    Words at_home(Words words) const {
        for (std::string &word : words)
            if (word[0] == '@') word = folder / word.substr(1);
        return words;
    }

    void put_old() const {
        for (const std::string &name : GetParam().outputs) folder.write(name, "old");
        std::filesystem::remove(folder / "metrics");
    }

    std::vector<std::string> outputs() const {
        std::vector<std::string> all;
        for (const std::string &name : GetParam().outputs)
            all.push_back(support::slurp(folder / name));
        return all;
    }

    // What a run leaves, where it says so by its code, and where it doesn't.
    void expect_told(const Outcome &now, const Fault &fault) {
        const std::vector<std::string> left = outputs();
        if (now.code == 0) {
            EXPECT_TRUE(may_pass(fault.function)) << "the failure went unnoticed";
            EXPECT_EQ(left, right);
            EXPECT_TRUE(!GetParam().prints_all || is_hint(fault.function) || now.out == printed)
                << now.out;
            return;
        }
        EXPECT_TRUE(now.code == 1 || (now.code >= 3 && now.code <= 5)) << now.code;
        // A line for each output that failed.
        EXPECT_EQ(now.err.compare(0, 8, "deltak: "), 0) << now.err;
        // Doubts about the data aside.
        const auto lines =
            std::count(now.err.begin(), now.err.end(), '\n') - count_of(now.err, "deltak: note:");
        EXPECT_TRUE(lines == 1 || (fault.for_ever && lines <= 3)) << now.err;
        for (size_t i = 0; i < left.size(); ++i)
            EXPECT_TRUE(left[i] == "old" || left[i] == right[i]) << GetParam().outputs[i];
    }

    // Nothing else has changed, and nothing lies beside it.
    void expect_tidy() const {
        put_old();
        EXPECT_EQ(files_of(folder) == before, true) << files_of(folder);
    }

    const Folder folder, streams;
    std::vector<std::string> right;
    std::string before, printed;
};

TEST_P(CommandFaults, AreTold) {
    const Words words = at_home(GetParam().words);
    const Outcome undisturbed = run(words, streams);
    ASSERT_EQ(undisturbed.code, 0) << undisturbed.err;
    right = outputs();
    printed = undisturbed.out;
    expect_tidy();
    long failures = 0;
    for (Fault fault : kinds())
        for (bool for_ever : {false, true})
            for (fault.at = 1;; fault.at = after(fault)) {
                fault.for_ever = for_ever;
                SCOPED_TRACE(testing::Message() << name_of(fault.function) << " " << fault.at
                                                << (for_ever ? ", for ever" : ""));
                const Outcome now = run(words, streams, fault);
                if (now.failures == 0) break;
                ++failures;
                expect_told(now, fault);
                expect_tidy();
                ASSERT_FALSE(HasFailure());
            }
    support::promise("Every failure is survived", "a call fails under the command", failures);
    EXPECT_GT(failures, 0) << "the test tests nothing";
}

INSTANTIATE_TEST_SUITE_P(Running, CommandFaults, testing::ValuesIn(commands),
                         [](const testing::TestParamInfo<Command> &row) { return row.param.name; });

} // namespace
} // namespace faults

// A command that ends in the middle hands its memory to the system; what leaks in the library the
// other programs find.
extern "C" [[gnu::visibility("default")]] int __lsan_is_turned_off();
extern "C" int __lsan_is_turned_off() {
    return faults::is_child;
}
