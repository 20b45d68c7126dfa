// `deltak predict`: rows from files and from standard input.
#include "support_cli.h"

namespace {

// --- predict -------------------------------------------------------------------------------------

TEST_F(Command, PredictsRowsFromStandardInput) {
    const std::string model = teacher_model();
    const Words words{"predict", "--model", model, "--data", "-", "--device", "cpu"};
    std::string input;
    for (int i = 0; i < 600; ++i) input += std::to_string(i % 7) + ",0.5\n";
    const Outcome o = run(words, input);
    EXPECT_EQ(o.code, 0) << o.err;
    const Words lines = lines_of(o.out);
    ASSERT_EQ(lines.size(), 600u);
    EXPECT_EQ(std::count(lines[0].begin(), lines[0].end(), ','), 2);
    EXPECT_EQ(lines[0], lines[7]); // the same row, the same answer
    EXPECT_NE(lines[0], lines[1]);
    // Blank lines, spaces, CRLF and a missing last line end are no rows and no errors.
    const Outcome loose = run(words, " 0 ,\t0.5\r\n\n1,5e-1");
    EXPECT_EQ(loose.code, 0) << loose.err;
    EXPECT_EQ(lines_of(loose.out), (Words{lines[0], lines[1]}));
    EXPECT_EQ(run(words, "").out, "");
}

TEST_F(Command, PredictNamesLineAndColumn) {
    const std::string model = teacher_model(), out = path("answers");
    const Words words{"predict", "--model", model, "--data", "-", "--device", "cpu", "--out", out};
    fails(words, 3, "line 2, column 2: \"x\"", "1,2\n3,x\n");
    fails(words, 3, "line 1, column 1: \"a\" isn't a finite number: leave the header out",
          "a,b\n1,2\n");
    fails(words, 3, "column 2: \"nan\"", "1,nan\n");
    fails(words, 3, "column 1: \"inf\"", "inf,1\n");
    fails(words, 3, "column 1: \"1e39\"", "1e39,1\n"); // beyond a float
    fails(words, 3, "column 2: \"\"", "1,\n");
    fails(words, 3, "line 1: 1 fields, and the model takes 2", "1\n");
    fails(words, 3, "line 3: 3 fields, and the model takes 2: drop the label", "1,2\n\n1,2,3\n");
    fails(words, 3, "line 1: longer than", std::string(1 << 20, '1'));
    fails(words, 3, "zero byte", std::string("1,2\0\n", 5));
    for (const auto &entry : fs::directory_iterator(directory))
        EXPECT_EQ(entry.path().string().find("answers"), std::string::npos)
            << entry.path() << " was left behind";
    EXPECT_EQ(run(words, "1,2\n").code, 0);
    EXPECT_EQ(lines_of(slurp(out)).size(), 1u);
}

// A row that is typed gets its answer before the next one is.
TEST_F(Command, PredictAnswersEachRowAtOnce) {
    const std::string model = teacher_model();
    int in[2], out[2];
    ASSERT_EQ(pipe(in), 0);
    ASSERT_EQ(pipe(out), 0);
    const pid_t child = fork();
    if (child == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        become({"predict", "--model", model, "--data", "-", "--device", "cpu"});
    }
    close(in[0]);
    close(out[1]);
    for (int row = 0; row < 3; ++row) {
        ASSERT_EQ(write(in[1], "1,2\n", 4), 4);
        std::string answer;
        char c;
        while (read(out[0], &c, 1) == 1 && c != '\n') answer += c; // would block for ever
        EXPECT_EQ(std::count(answer.begin(), answer.end(), ','), 2) << answer;
    }
    close(in[1]);
    close(out[0]);
    EXPECT_EQ(wait_for(child), 0);
}

TEST_F(Command, PredictsClassesAndProbabilities) {
    const std::string model = digits_model();
    std::string rows;
    for (int i = 0; i < 5; ++i) {
        for (int j = 0; j < 64; ++j) rows += (j ? "," : "") + std::to_string((i + j) % 17);
        rows += "\n";
    }
    spit(directory / "rows.csv", rows);
    const Outcome names =
        run({"predict", "--model", model, "--data", path("rows.csv"), "--device", "cpu"});
    EXPECT_EQ(names.code, 0) << names.err;
    const Words classes = lines_of(names.out);
    ASSERT_EQ(classes.size(), 5u);
    const Outcome streamed =
        run({"predict", "--model", model, "--data", "-", "--device", "cpu"}, rows);
    EXPECT_EQ(streamed.out, names.out);
    const Outcome table = run(
        {"predict", "--model", model, "--data", path("rows.csv"), "--device", "cpu", "--proba"});
    const Words lines = lines_of(table.out);
    ASSERT_EQ(lines.size(), 6u);
    EXPECT_EQ(lines[0], "0,1,2,3,4,5,6,7,8,9");
    for (size_t i = 1; i < lines.size(); ++i) {
        std::istringstream fields(lines[i]);
        std::vector<double> p;
        for (std::string field; std::getline(fields, field, ',');) p.push_back(std::stod(field));
        ASSERT_EQ(p.size(), 10u);
        double sum = 0;
        for (double v : p) sum += v;
        // Ten floats, each rounded to within 2^-24 relative: far inside 10 · 2^-24 · 4.
        EXPECT_NEAR(sum, 1, 40.0 / (1 << 24));
        const auto best = std::max_element(p.begin(), p.end()) - p.begin();
        EXPECT_EQ(classes[i - 1], std::to_string(best));
    }
    fails({"predict", "--model", teacher_model(), "--data", "-", "--proba", "--device", "cpu"}, 2,
          "--proba needs a classifier");
}

// A name is a CSV field here as in the header of --proba, so that an answer stays one row.
TEST_F(Command, PredictQuotesClassNames) {
    const std::string model = path("m"), name = "\"a, \"\"b\"\"\nc\"";
    spit(directory / "t.csv", "1," + name + "\n2," + name + "\n");
    ASSERT_EQ(run({"train", "--data", path("t.csv"), "--hidden", "2", "--epochs", "1", "--device",
                   "cpu", "--quiet", "--out", model})
                  .code,
              0);
    const Words words{"predict", "--model", model, "--data", "-", "--device", "cpu"};
    EXPECT_EQ(run(words, "1\n2\n").out, name + "\n" + name + "\n");
}

TEST_F(Command, PredictSaysToDropTheLabel) {
    const std::string model = teacher_model();
    spit(directory / "with_label.csv", "1,2,3\n4,5,6\n");
    fails({"predict", "--model", model, "--data", path("with_label.csv"), "--device", "cpu"}, 3,
          "drop the label column");
    spit(directory / "with_name.csv", "1,2,yes\n4,5,no\n");
    fails({"predict", "--model", model, "--data", path("with_name.csv"), "--device", "cpu"}, 3,
          "drop the label column");
}

} // namespace
