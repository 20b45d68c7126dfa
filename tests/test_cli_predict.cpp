// `deltak predict`: rows from files and from standard input.
#include "support_cli.h"
#include "support_data.h"

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
    fails(words, 3, "standard input:2: column 1 (from 0): \"x\" is not a number", "1,2\n3,x\n");
    fails(words, 3, "standard input:1: column 1 (from 0): \"x\"", "1,x\n3,4\n");
    fails(words, 3, "standard input:3: column 0 (\"a\"): \"x\"", "a,b\n1,2\nx,2\n");
    fails(words, 3, "no rows follow its header", "a,b\n");
    fails(words, 3, "column 1 (from 0): \"nan\"", "1,nan\n");
    fails(words, 3, "column 0 (from 0): \"inf\"", "inf,1\n");
    fails(words, 3, "row 0", "1e39,1\n"); // beyond a float
    fails(words, 3, "\"\" is a missing value", "1,\n");
    fails(words, 3, "line 1 of standard input: standard input has 1 features", "1\n");
    fails(words, 3,
          "line 3 of standard input: standard input has 3 features, expected are 2: leave "
          "the label column out",
          "1,2\n\n1,2,3\n");
    fails(words, 3, "standard input", std::string(1 << 20, '1'));
    fails(words, 3, "zero byte", std::string("1,2\0\n", 5));
    for (const auto &entry : fs::directory_iterator(directory))
        EXPECT_EQ(entry.path().string().find("answers"), std::string::npos)
            << entry.path() << " was left behind";
    EXPECT_EQ(run(words, "1,2\n").code, 0);
    EXPECT_EQ(lines_of(slurp(out)).size(), 1u);
}

// A stream is a table as a file is: header, separators, names, ids, the label left out.
TEST_F(Command, PredictReadsAStreamAsAFile) {
    spit(directory / "t.csv", "id,y,a,b\nq,0.5,1,2\nr,1.5,3,4\ns,2.5,4,1\n");
    const std::string model = path("m");
    ASSERT_EQ(run({"train", "--data", path("t.csv"), "--label-column", "y", "--id-column", "id",
                   "--hidden", "2", "--epochs", "2", "--device", "cpu", "--quiet", "--out", model})
                  .code,
              0);
    const Words words{"predict", "--model", model, "--device", "cpu", "--data"};
    const auto file = [&](const std::string &text) {
        spit(directory / "x.csv", text);
        Words all = words;
        all.push_back(path("x.csv"));
        const Outcome o = run(all);
        EXPECT_EQ(o.code, 0) << o.err;
        return o;
    };
    const auto stream = [&](const std::string &text) {
        Words all = words;
        all.push_back("-");
        return run(all, text);
    };
    const std::string plain = file("a,b\n1,2\n3,4\n").out;
    ASSERT_EQ(lines_of(plain).size(), 2u);
    for (const std::string text :
         {"a,b\n1,2\n3,4\n", "b;a\n2;1\n4;3\n", "b\ta\tc\n2\t1\t0\n4\t3\t0\n", "1,2\n3,4\n",
          "1;2\n3;4\n", "\n\"a\",\"b\"\r\n1,2\r\n\r\n3,4", "y,a,b\n?,1,2\n?,3,4\n"}) {
        EXPECT_EQ(file(text).out, plain) << text;
        const Outcome o = stream(text);
        EXPECT_EQ(o.out, plain) << text << o.err;
        EXPECT_EQ(o.code, 0) << text << o.err;
    }
    // The training's own file, ids handed on.
    const Words own = lines_of(file("id,y,a,b\nq,0.5,1,2\n\"r,1\",1.5,3,4\n").out);
    ASSERT_EQ(own.size(), 2u);
    EXPECT_EQ(own[0], "q," + lines_of(plain)[0]);
    EXPECT_EQ(own[1], "\"r,1\"," + lines_of(plain)[1]);
    EXPECT_NE(file("id,y,a,b\nq,0.5,1,2\n").err.find("left out column \"y\""), std::string::npos);
    EXPECT_EQ(stream("y,b,a,id\n0,2,1,q\n").out, own[0] + "\n");
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

// A matrix without names is the training's by its width, and the labels are where they were.
TEST_F(Command, PredictAndEvalKnowAMatrixsLabels) {
    std::vector<float> all, features;
    for (int i = 0; i < 60; ++i) {
        const float a = static_cast<float>(i % 7), b = static_cast<float>(i % 5);
        all.insert(all.end(), {1000 - a, a, b});
        features.insert(features.end(), {a, b});
    }
    spit(directory / "m.npy", support::npy("<f4", false, "(60, 3)", support::bytes_of(all)));
    spit(directory / "x.npy", support::npy("<f4", false, "(60, 2)", support::bytes_of(features)));
    const std::string model = path("m.safetensors");
    ASSERT_EQ(
        run({"train", "--data", path("m.npy"), "--label-column", "first", "--task", "regression",
             "--hidden", "8", "--epochs", "60", "--device", "cpu", "--quiet", "--out", model})
            .code,
        0);
    const Outcome of =
        run({"eval", "--model", model, "--data", path("m.npy"), "--device", "cpu", "--json"});
    const Json object(json_loads(of.out.c_str(), 0, nullptr));
    EXPECT_GT(json_real_value(json_object_get(object.get(), "r2")), 0.9) << of.out << of.err;
    Words answers[2];
    for (int i = 0; i < 2; ++i) {
        const Outcome o = run({"predict", "--model", model, "--data", path(i ? "x.npy" : "m.npy"),
                               "--device", "cpu"});
        EXPECT_EQ(o.code, 0) << o.err;
        answers[i] = lines_of(o.out);
    }
    EXPECT_EQ(answers[0].size(), 60u);
    EXPECT_EQ(answers[0], answers[1]);
}

TEST_F(Command, PredictSaysToDropTheLabel) {
    const std::string model = teacher_model();
    spit(directory / "with_label.csv", "1,2,3\n4,5,6\n");
    fails({"predict", "--model", model, "--data", path("with_label.csv"), "--device", "cpu"}, 3,
          "leave the label column out");
    spit(directory / "with_name.csv", "1,2,yes\n4,5,no\n");
    fails({"predict", "--model", model, "--data", path("with_name.csv"), "--device", "cpu"}, 3,
          "drop the label column");
}

} // namespace
