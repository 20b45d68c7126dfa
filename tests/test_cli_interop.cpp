// A saved model in PyTorch, by tests/python/test_interop.py. DELTAK_PYTHON names the interpreter,
// by default python3.
#include "support_cli.h"

namespace {

TEST_F(Command, ItsModelsRunInPyTorch) {
    const char *set = std::getenv("DELTAK_PYTHON");
    const std::string python = set ? set : "python3", log = path("log");
    const pid_t child = fork();
    if (child == 0) {
        const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
        dup2(out, 1);
        dup2(out, 2);
        execlp(python.c_str(), python.c_str(), DELTAK_SOURCE_DIR "/tests/python/test_interop.py",
               DELTAK_COMMAND, DELTAK_SOURCE_DIR "/data/digits.csv.gz", directory.c_str(),
               static_cast<char *>(nullptr));
        _exit(127);
    }
    const int code = wait_for(child);
    if (code == 127) GTEST_SKIP() << python << " can't be run: DELTAK_PYTHON names another";
    if (code == 77)
        GTEST_SKIP() << "a model isn't opened in PyTorch: DELTAK_PYTHON names a Python with numpy, "
                        "torch and safetensors; of "
                     << python << ": " << slurp(log);
    EXPECT_EQ(code, 0) << slurp(log);
}

} // namespace
