// Failures while data are opened, from each kind of source, split and read.
#include "subjects.h"

namespace faults {
namespace {

using support::Folder;

std::string pixels(size_t rows) {
    std::string all;
    for (size_t i = 0; i < rows * 6; ++i) all += static_cast<char>(37 * i);
    return all;
}

std::string digits(size_t rows) {
    std::string all;
    for (size_t i = 0; i < rows; ++i) all += static_cast<char>(i % 3);
    return all;
}

std::string images(uint32_t rows) {
    return support::idx({rows, 2, 3}, pixels(rows));
}

std::string labels(uint32_t rows) {
    return support::idx({rows}, digits(rows));
}

std::string matrix(size_t rows, size_t cols) {
    return support::npy("<f4", false,
                        "(" + std::to_string(rows) + ", " + std::to_string(cols) + ")",
                        support::bytes_of(support::normal(rows * cols, 5)));
}

std::string table(const std::vector<std::string> &classes) {
    std::string all = "width,height,kind\n";
    for (int i = 0; i < 30; ++i)
        all += std::to_string(i) + "," + std::to_string(0.25 * i * i) + "," +
               classes[static_cast<size_t>(i) % classes.size()] + "\n";
    return all;
}

/// Opens `source`; `options` are finished by `like`, if it is there.
Subject opened(const std::string &source, dk_data_options options = DK_DATA_OPTIONS_INIT,
               std::shared_ptr<Objects> all = nullptr) {
    if (!all) all = objects(1);
    return {[=] {
                dk_dataset *made = reinterpret_cast<dk_dataset *>(16);
                const dk_status status =
                    dk_dataset_open(&made, all->context.get(), source.c_str(), &options);
                return keep(all->data, made, status);
            },
            [=] { return seen(all->data); }};
}

dk_data_options test_part() {
    dk_data_options options = DK_DATA_OPTIONS_INIT;
    options.part = DK_PART_TEST;
    return options;
}

dk_data_options rows(int64_t count) {
    dk_data_options options = DK_DATA_OPTIONS_INIT;
    options.rows = count;
    return options;
}

void write_directory(const Folder &folder, bool packed) {
    const auto write = [&](const char *name, const std::string &bytes) {
        packed ? folder.write_gz(std::string(name) + ".gz", bytes) : folder.write(name, bytes);
    };
    write("train-images-idx3-ubyte", images(20));
    write("train-labels-idx1-ubyte", labels(20));
    write("t10k-images-idx3-ubyte", images(8));
    write("t10k-labels-idx1-ubyte", labels(8));
}

void write_arrays(const Folder &folder) {
    folder.write("x.npy", matrix(20, 4));
    folder.write("y.npy", matrix(20, 2));
    folder.write("x_test.npy", matrix(7, 4));
    folder.write("y_test.npy", matrix(7, 2));
}

/// Labels are told from the names of a set that was opened before.
Subject opened_like(const Folder &folder) {
    auto all = objects(1);
    const std::string path = folder.write("old.csv", table({"1", "2", "10"}));
    all->valid = support::open(all->context.get(), path.c_str());
    dk_data_options options = DK_DATA_OPTIONS_INIT;
    options.like = all->valid.get();
    return opened(folder.write("new.csv", table({"10", "1"})), options, all);
}

/// Columns are found again by their names, one left out, one of them naming the rows.
Subject opened_by_names(const Folder &folder) {
    auto all = objects(1);
    const std::string path = folder.write("old.csv", "id,a,b,y\nr,1,2,x\ns,3,4,z\nt,5,6,x\n");
    dk_data_options options = DK_DATA_OPTIONS_INIT;
    options.id_column = "id";
    all->valid = support::open(all->context.get(), path.c_str(), options);
    options.like = all->valid.get();
    options.ignore_columns = "c,4";
    return opened(folder.write("new.csv", "y,b,c,a,d,id\nx,1,0,2,0,u\nz,3,0,4,0,v\n"), options,
                  all);
}

Subject divided(const Folder &) {
    auto all = objects(1);
    all->data = support::synth(all->context.get(), "synth:spirals", 30);
    auto rest = std::make_shared<support::Dataset>();
    return {[=] {
                dk_dataset *most = nullptr, *part = nullptr;
                const dk_status status = dk_dataset_split(all->data.get(), 0.3, 1, &most, &part);
                keep(*rest, most, status);
                return keep(all->valid, part, status);
            },
            [=] { return seen(all->data) + seen(*rest) + seen(all->valid); }};
}

Subject from_arrays(const Folder &) {
    auto all = objects(1);
    auto x = std::make_shared<std::vector<float>>(support::normal(24, 3));
    return {[=] {
                const std::vector<int32_t> classes = {0, 1, 0, 1, 1, 0, 0, 1};
                dk_arrays arrays = DK_ARRAYS_INIT;
                arrays.rows = 8;
                arrays.features = 3;
                arrays.x = x->data();
                arrays.labels = classes.data();
                arrays.classes = 2;
                dk_dataset *made = nullptr;
                const dk_status status = dk_dataset_from_arrays(&made, all->context.get(), &arrays);
                return keep(all->data, made, status);
            },
            [=] { return seen(all->data); }};
}

const Workflow workflows[] = {
    {"Spirals", [](const Folder &) { return opened("synth:spirals", rows(30)); }},
    {"Teacher", [](const Folder &) { return opened("synth:teacher", rows(30)); }},
    {"Digits", [](const Folder &) { return opened("builtin:digits", rows(30)); }},
    {"Csv",
     [](const Folder &f) {
         return opened(f.write("t.csv", table({"a", "b", "c"})));
     }},
    {"CsvOfNumbers",
     [](const Folder &f) {
         return opened(f.write("t", table({"0.5", "1", "7"})));
     }},
    {"CsvGz",
     [](const Folder &f) {
         return opened(f.write_gz("t.gz", table({"a", "b"})));
     }},
    {"CsvLikeAnother", opened_like},
    {"CsvByNames", opened_by_names},
    {"Idx",
     [](const Folder &f) {
         write_directory(f, false);
         return opened(f / "train-images-idx3-ubyte");
     }},
    {"IdxGz",
     [](const Folder &f) {
         write_directory(f, true);
         return opened(f / "train-images-idx3-ubyte.gz");
     }},
    {"IdxDirectory",
     [](const Folder &f) {
         write_directory(f, false);
         return opened(f.path());
     }},
    {"IdxDirectoryTestGz",
     [](const Folder &f) {
         write_directory(f, true);
         return opened(f.path(), test_part());
     }},
    {"Npy", [](const Folder &f) { return opened(f.write("m.npy", matrix(20, 5))); }},
    {"NpyDirectory",
     [](const Folder &f) {
         write_arrays(f);
         return opened(f.path());
     }},
    {"NpyDirectoryTest",
     [](const Folder &f) {
         write_arrays(f);
         return opened(f.path(), test_part());
     }},
    {"Arrays", from_arrays},
    {"Split", divided},
};

class DataFaults : public testing::TestWithParam<Workflow> {};
TEST_P(DataFaults, AreSurvived) {
    survive(GetParam());
}
TEST_P(DataFaults, WeatherIsBorne) {
    weather(GetParam());
}
INSTANTIATE_TEST_SUITE_P(Opening, DataFaults, testing::ValuesIn(workflows),
                         [](const testing::TestParamInfo<Workflow> &row) { return name_of(row); });

} // namespace
} // namespace faults
