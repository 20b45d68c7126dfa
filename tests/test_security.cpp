// What keeps others' files and the environment from becoming the process's own: rights of what is
// written, names that others have taken, and where the CUDA backend is looked for.
#include "support_cli.h"
#include "support_promise.h"

#include <dlfcn.h>

namespace {

class Security : public Command {
  protected:
    void SetUp() override {
        Command::SetUp();
        before = umask(0);
        umask(before);
    }
    void TearDown() override {
        umask(before);
        Command::TearDown();
    }

    mode_t mode_of(const std::string &name) const {
        struct stat status = {};
        EXPECT_EQ(stat(path(name).c_str(), &status), 0) << name;
        return status.st_mode & 07777;
    }

    mode_t before = 0;
};

const Words training{"train",    "--data",   "builtin:digits",
                     "--rows",   "200",      "--hidden",
                     "8",        "--epochs", "1",
                     "--device", "cpu",      "--threads",
                     "1",        "--quiet",  "--valid-fraction",
                     "0.2"};

Words operator+(Words words, const Words &more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
}

} // namespace

// Rights are the user's to give: 0666 less the umask, no more and no less.
TEST_F(Security, WhatIsWrittenHasTheRightsOfTheUmask) {
    const mode_t masks[] = {0077, 0027, 0022, 0002};
    for (const mode_t mask : masks) {
        for (const char *name : {"m.safetensors", "run.jsonl", "curve.svg"}) fs::remove(path(name));
        umask(mask);
        const Outcome o = run(training + Words{"--out", path("m.safetensors"), "--metrics",
                                               path("run.jsonl"), "--plot", path("curve.svg")});
        umask(before);
        ASSERT_EQ(o.code, 0) << o.err;
        for (const char *name : {"m.safetensors", "run.jsonl", "curve.svg"})
            EXPECT_EQ(mode_of(name), 0666 & ~mask) << name << " under umask " << std::oct << mask;
    }
    support::promise("Security", "files written under an umask have its rights", 4 * 3);
}

// A model that its owner shut off from others stays so when it is written anew.
TEST_F(Security, AFileThatIsWrittenAnewKeepsItsRights) {
    spit(path("m.safetensors"), "old");
    ASSERT_EQ(chmod(path("m.safetensors").c_str(), 0600), 0);
    const Outcome o = run(training + Words{"--out", path("m.safetensors")});
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(mode_of("m.safetensors"), 0600u);
}

// In a folder that others may write to, the name of the unfinished file can be taken beforehand, by a
// link to what they want to see overwritten: the child's process number is the next one or so.
TEST_F(Security, ALinkUnderTheNameOfTheUnfinishedFileIsNotFollowed) {
    const std::string victim = path("victim");
    spit(victim, "mine");
    const Words words = training + Words{"--out", path("m.safetensors"), "--plot", path("c.svg")};
    const pid_t child = fork();
    if (child == 0) {
        const std::string number = std::to_string(getpid());
        for (const std::string &name : {".deltak-" + number + "-0.tmp", "c.svg." + number + ".tmp"})
            fs::create_symlink(victim, path(name));
        dup2(open("/dev/null", O_RDWR), 2);
        become(words);
    }
    const int code = wait_for(child);
    EXPECT_EQ(slurp(victim), "mine");
    EXPECT_TRUE(code == 0 || code == 1) << code;
    EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(path("m.safetensors"))));
}

#if defined(DELTAK_PLANTED)

namespace {

// The planted library leaves this file when it is loaded.
class Planted : public Security {
  protected:
    void SetUp() override {
        Security::SetUp();
        setenv("DELTAK_TEST_PLANTED", path("loaded").c_str(), 1);
    }
    void TearDown() override {
        unsetenv("DELTAK_TEST_PLANTED");
        Security::TearDown();
    }

    bool loaded() const { return fs::exists(path("loaded")); }

    void plant(const fs::path &file) {
        fs::create_directories(file.parent_path());
        fs::copy_file(DELTAK_PLANTED, file);
    }
};

} // namespace

TEST_F(Planted, TheLibraryTellsThatItIsLoaded) {
    void *library = dlopen(DELTAK_PLANTED, RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library, nullptr) << dlerror();
    dlclose(library);
    EXPECT_TRUE(loaded());
}

// Neither the current folder, nor one of the environment's, nor one beside the data has a say in which
// libdeltak_cuda.so, or which other library, is taken. (LD_LIBRARY_PATH chooses among the libraries
// that the loader looks for; the plugin is opened by its path.)
TEST_F(Planted, APluginThatLiesElsewhereIsNotTaken) {
    const std::string evil = path("evil");
    plant(evil + "/libdeltak_cuda.so");
    for (const char *name : {"PATH", "LD_LIBRARY_PATH", "HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME",
                             "CUDA_HOME", "CUDA_PATH", "DELTAK_PLUGIN", "TMPDIR"}) {
        const pid_t child = fork();
        if (child == 0) {
            dup2(open("/dev/null", O_RDWR), 1);
            dup2(open("/dev/null", O_RDWR), 2);
            setenv(name, evil.c_str(), 1);
            if (chdir(evil.c_str()) != 0) _exit(126);
            become({"info", "--device", "cuda"});
        }
        EXPECT_NE(wait_for(child), 126);
        EXPECT_FALSE(loaded()) << "by the current folder or " << name;
    }
    support::promise("Security", "planted plugins left alone", 9);
}

// A list of folders for the loader with an empty entry would mean the current one.
TEST_F(Planted, NoLibraryIsTakenFromTheCurrentFolder) {
    const std::string evil = path("evil");
    const Words names{"libjansson.so.4", "libdeltak.so.0.2", "libdnnl.so.2", "libz.so.1",
                      "libgomp.so.1",    "libm.so.6",        "libc.so.6",    "libcublasLt.so.13"};
    for (const std::string &name : names) plant(evil + "/" + name);
    const pid_t child = fork();
    if (child == 0) {
        dup2(open("/dev/null", O_RDWR), 1);
        unsetenv("LD_LIBRARY_PATH");
        if (chdir(evil.c_str()) != 0) _exit(126);
        become({"info", "--device", "auto"});
    }
    EXPECT_EQ(wait_for(child), 0);
    EXPECT_FALSE(loaded());
    support::promise("Security", "planted libraries left alone", int64_t(names.size()));
}

#endif
