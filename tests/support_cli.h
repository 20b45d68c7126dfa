// What the tests of the `deltak` command share: it is run as a program, and its exit code, its two
// outputs and the files it leaves are looked at.
#pragma once

#include "deltak/deltak.h"

#include <gtest/gtest.h>
#include <jansson.h>

#include <fcntl.h>
#include <pty.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

struct Outcome {
    int code; // 128 + n where signal n ended the program, as a shell has it
    std::string out, err;
};

struct DropJson {
    void operator()(json_t *value) const { json_decref(value); }
};
using Json = std::unique_ptr<json_t, DropJson>;

inline std::string slurp(const fs::path &path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

inline void spit(const fs::path &path, const std::string &text) {
    std::ofstream(path, std::ios::binary) << text;
}

[[noreturn]] inline void become(const Words &words) {
    // A runner in the background may have them ignored, which exec would hand on.
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    // Threads that wait for each other by spinning take a busy machine's time from each other.
    setenv("OMP_WAIT_POLICY", "passive", 1);
    std::vector<char *> argv{const_cast<char *>(DELTAK_COMMAND)};
    for (const std::string &word : words) argv.push_back(const_cast<char *>(word.c_str()));
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(127);
}

inline int wait_for(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// Waits for what a child does, for as long as a busy machine takes: false if it has ended without.
template <class Seen> bool wait_until(pid_t child, const Seen &seen) {
    for (; !seen(); usleep(200)) {
        siginfo_t ended{};
        if (waitid(P_PID, child, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == child)
            return seen();
    }
    return true;
}

// Sends the signal if `still` holds of the child, which is halted meanwhile; false if it doesn't any more.
template <class Still> bool signal_while(pid_t child, int number, const Still &still) {
    kill(child, SIGSTOP);
    siginfo_t how{};
    waitid(P_PID, child, &how, WEXITED | WSTOPPED | WNOWAIT);
    const bool holds = how.si_code == CLD_STOPPED && still();
    if (holds) kill(child, number);
    kill(child, SIGCONT);
    return holds;
}

class Command : public ::testing::Test {
  protected:
    void SetUp() override {
        if (!*DELTAK_COMMAND) GTEST_SKIP() << "the command wasn't built";
        std::string name = (fs::temp_directory_path() / "deltak_cli_XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory = name;
    }
    void TearDown() override {
        if (!directory.empty()) fs::remove_all(directory);
    }

    std::string path(const std::string &name) const { return (directory / name).string(); }

    // Starts the program with files behind its three streams.
    pid_t start(const Words &words, const std::string &input, const std::string &out) {
        spit(directory / "stdin", input);
        const pid_t child = fork();
        if (child != 0) return child;
        dup2(open(path("stdin").c_str(), O_RDONLY), 0);
        dup2(open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666), 1);
        dup2(open(path("stderr").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666), 2);
        become(words);
    }

    Outcome run(const Words &words, const std::string &input = "", std::string out = "") {
        if (out.empty()) out = path("stdout");
        const int code = wait_for(start(words, input, out));
        return {code, fs::is_regular_file(out) ? slurp(out) : "", slurp(directory / "stderr")};
    }

    // Fails with `code`, says `text` in an error line, and prints no result.
    void fails(const Words &words, int code, const std::string &text,
               const std::string &input = "") {
        const Outcome o = run(words, input);
        std::string line;
        for (const std::string &word : words) line += word + " ";
        EXPECT_EQ(o.code, code) << line << "\n" << o.err;
        EXPECT_NE(o.err.find(text), std::string::npos) << line << "\n" << o.err;
        EXPECT_EQ(o.err.compare(0, 8, "deltak: "), 0) << line << "\n" << o.err;
        EXPECT_EQ(o.out, "") << line;
        EXPECT_EQ(o.err.find("DK_"), std::string::npos) << o.err;
    }

    Json json(const Words &words, const std::string &input = "") {
        const Outcome o = run(words, input);
        EXPECT_EQ(o.code, 0) << o.err;
        json_error_t error;
        Json value(json_loads(o.out.c_str(), JSON_REJECT_DUPLICATES, &error));
        EXPECT_TRUE(value) << error.text << "\n" << o.out;
        return value;
    }

    // A small trained classifier of the built-in digits.
    std::string digits_model() {
        const std::string model = path("digits.safetensors");
        const Outcome o =
            run({"train", "--data", "builtin:digits", "--hidden", "32", "--epochs", "3", "--lr",
                 "0.01", "--device", "cpu", "--threads", "1", "--quiet", "--out", model});
        EXPECT_EQ(o.code, 0) << o.err;
        return model;
    }

    // A model of two features and numbers for targets.
    std::string teacher_model() {
        const std::string model = path("teacher.safetensors");
        const Outcome o = run({"train",     "--data",    "synth:teacher",
                               "--rows",    "200",       "--features",
                               "2",         "--targets", "3",
                               "--hidden",  "8",         "--epochs",
                               "2",         "--device",  "cpu",
                               "--threads", "1",         "--quiet",
                               "--out",     model});
        EXPECT_EQ(o.code, 0) << o.err;
        return model;
    }

    fs::path directory;
};

inline double number(const Json &object, const char *key) {
    json_t *value = json_object_get(object.get(), key);
    EXPECT_TRUE(json_is_number(value)) << key;
    return json_number_value(value);
}

inline void has_keys(const Json &object, const Words &keys) {
    for (const std::string &key : keys)
        EXPECT_NE(json_object_get(object.get(), key.c_str()), nullptr) << key;
}

inline Words lines_of(const std::string &text) {
    Words lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}
