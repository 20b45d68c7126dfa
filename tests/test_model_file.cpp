// Model files: what is saved comes back bit for bit, and whatever else a file holds is refused with
// a text, without a crash and without a leak (the whole file runs under AddressSanitizer as well).
#include "support.h"
#include "support_net.h"

#include <jansson.h>

#include <unistd.h>

#include <cmath>
#include <set>

namespace {

using support::Description;
using support::layer;

// A safetensors file taken apart: the header as JSON text, and the bytes behind it.
struct Parts {
    std::string header, data;

    static Parts of(const std::string &bytes) {
        uint64_t length = 0;
        std::memcpy(&length, bytes.data(), 8);
        return {bytes.substr(8, length), bytes.substr(8 + length)};
    }
    std::string join() const {
        uint64_t length = header.size();
        std::string bytes(8, '\0');
        std::memcpy(bytes.data(), &length, 8);
        return bytes + header + data;
    }
};

// A JSON value that is released at the end of its scope.
struct Json {
    json_t *value;
    explicit Json(json_t *owned) : value(owned) {}
    explicit Json(const std::string &text) : value(json_loads(text.c_str(), 0, nullptr)) {}
    Json(const Json &) = delete;
    Json &operator=(const Json &) = delete;
    ~Json() { json_decref(value); }
    std::string text() const {
        char *dumped = json_dumps(value, JSON_COMPACT);
        std::string result(dumped ? dumped : "");
        free(dumped);
        return result;
    }
};

std::string description_of(const Parts &parts) {
    Json header(parts.header);
    return json_string_value(
        json_object_get(json_object_get(header.value, "__metadata__"), "deltak"));
}

// The file with another description in its metadata.
std::string with_description(const Parts &parts, const std::string &description) {
    Json header(parts.header);
    json_t *text = json_stringn_nocheck(description.data(), description.size());
    json_object_set_new_nocheck(json_object_get(header.value, "__metadata__"), "deltak", text);
    return Parts{header.text(), parts.data}.join();
}

class ModelFile : public support::TempDirectory {
  protected:
    support::Context context = support::cpu();

    std::string save(const dk_net *net, const std::string &name = "model") {
        EXPECT_EQ(dk_net_save(net, path(name).c_str()), DK_OK) << dk_error_text();
        return support::slurp(path(name));
    }
    // Loads bytes; a net on success.
    dk_status load(const std::string &bytes, support::Net *net = nullptr) {
        write("loaded", bytes);
        return load_path(path("loaded"), net);
    }
    dk_status load_path(const std::string &file, support::Net *net = nullptr) {
        dk_net *made = reinterpret_cast<dk_net *>(16);
        dk_status status = dk_net_load(&made, context.get(), file.c_str());
        EXPECT_EQ(made == nullptr, status != DK_OK);
        support::Net owned(status == DK_OK ? made : nullptr);
        if (net) *net = std::move(owned);
        return status;
    }

    // A small classifier with preprocessing and class names.
    std::string small() {
        support::Dataset data = support::synth(context.get(), "synth:spirals", 30);
        return save(support::net_for(data.get(), {3}, DK_LEAKY_RELU).get(), "small");
    }
};

void expect_same_layer(const dk_layer &a, const dk_layer &b) {
    EXPECT_EQ(a.width, b.width);
    EXPECT_EQ(a.activation, b.activation);
    EXPECT_EQ(a.alpha, b.alpha);
    EXPECT_EQ(a.dropout, b.dropout);
    EXPECT_EQ(a.init, b.init);
    EXPECT_EQ(a.init_value, b.init_value);
    EXPECT_EQ(a.frozen, b.frozen);
}

template <class T> void expect_same_values(const T *a, const T *b, int64_t count) {
    ASSERT_EQ(a == nullptr, b == nullptr);
    if (a) {
        EXPECT_EQ(std::memcmp(a, b, static_cast<size_t>(count) * sizeof(T)), 0);
    }
}

void expect_same_net(const dk_net *a, const dk_net *b) {
    dk_net_desc da, db;
    ASSERT_EQ(dk_net_describe(a, &da), DK_OK);
    ASSERT_EQ(dk_net_describe(b, &db), DK_OK);
    EXPECT_EQ(da.inputs, db.inputs);
    EXPECT_EQ(da.seed, db.seed);
    EXPECT_EQ(da.loss, db.loss);
    EXPECT_EQ(da.huber_delta, db.huber_delta);
    EXPECT_EQ(da.label_smoothing, db.label_smoothing);
    ASSERT_EQ(da.layer_count, db.layer_count);
    for (size_t k = 0; k < da.layer_count; ++k) expect_same_layer(da.layers[k], db.layers[k]);
    int64_t outputs = da.layers[da.layer_count - 1].width;
    expect_same_values(da.class_weights, db.class_weights, outputs);
    dk_preprocessing pa, pb;
    ASSERT_EQ(dk_net_preprocessing(a, &pa), DK_OK);
    ASSERT_EQ(dk_net_preprocessing(b, &pb), DK_OK);
    expect_same_values(pa.feature_shift, pb.feature_shift, da.inputs);
    expect_same_values(pa.feature_scale, pb.feature_scale, da.inputs);
    expect_same_values(pa.target_shift, pb.target_shift, outputs);
    expect_same_values(pa.target_scale, pb.target_scale, outputs);
    for (int64_t c = 0; c < outputs; ++c)
        EXPECT_STREQ(dk_net_class_name(a, c), dk_net_class_name(b, c));
    EXPECT_EQ(support::parameter_bits(a), support::parameter_bits(b));
}

// ---- round trips -------------------------------------------------------------------------------

TEST_F(ModelFile, ComesBackBitForBitForEveryActivationAndLoss) {
    for (int loss = 0; dk_loss_name(static_cast<dk_loss>(loss)); ++loss) {
        SCOPED_TRACE(dk_loss_name(static_cast<dk_loss>(loss)));
        Description given(5, {}, static_cast<dk_loss>(loss));
        given.desc.seed = UINT64_MAX - static_cast<uint64_t>(loss);
        given.desc.huber_delta = 0.1f;
        for (int g = 0; dk_activation_name(static_cast<dk_activation>(g)); ++g) {
            dk_layer made = layer(g + 1, static_cast<dk_activation>(g));
            made.dropout = static_cast<float>(g) / 14;
            made.frozen = g % 3 == 0;
            made.init = static_cast<dk_init>(g % 8);
            made.init_value = 1e-7f;
            if (g == DK_LEAKY_RELU || g == DK_ELU) made.alpha = 0.3f;
            given.layers.push_back(made);
        }
        given.layers.push_back(layer(3, DK_IDENTITY));
        if (loss == DK_LOSS_SOFTMAX_CROSS_ENTROPY) {
            given.class_weights = {0.1f, std::numeric_limits<float>::denorm_min(), 1e38f};
            given.desc.label_smoothing = 1.0f / 3;
        }
        support::Net net = support::net(context.get(), given);
        std::vector<float> b = {-0.0f, std::numeric_limits<float>::denorm_min(), 1.0f / 3};
        ASSERT_EQ(dk_net_set(net.get(), DK_BIAS, 15, b.data(), 3), DK_OK);
        save(net.get());
        support::Net loaded;
        ASSERT_EQ(load_path(path("model"), &loaded), DK_OK) << dk_error_text();
        expect_same_net(net.get(), loaded.get());
    }
}

TEST_F(ModelFile, KeepsPreprocessingAndClassNamesOfAnyText) {
    std::string names[] = {"plain",       "with \"quotes\"", "comma, semicolon; tab\t",
                           "back\\slash", "grüße 日本語 😀",  "{\"json\": [1]}",
                           "\x01 control"};
    std::string csv;
    for (int row = 0; row < 21; ++row) {
        std::string quoted;
        for (char c : names[row % 7]) quoted += c == '"' ? "\"\"" : std::string(1, c);
        csv +=
            std::to_string(row) + "," + std::to_string(row * row / 7.0) + ",\"" + quoted + "\"\n";
    }
    support::Dataset data = support::open(context.get(), write("names.csv", csv).c_str());
    support::Net net = support::net_for(data.get(), {4});
    std::set<std::string> found;
    for (int64_t c = 0; c < 7; ++c) found.insert(dk_net_class_name(net.get(), c));
    EXPECT_EQ(found, std::set<std::string>(std::begin(names), std::end(names)));
    std::string bytes = save(net.get());
    support::Net loaded;
    ASSERT_EQ(load_path(path("model"), &loaded), DK_OK) << dk_error_text();
    expect_same_net(net.get(), loaded.get());
    EXPECT_EQ(support::predictions(net.get(), data.get()),
              support::predictions(loaded.get(), data.get()));

    support::Dataset numbers = support::synth(context.get(), "synth:teacher", 40, 1, 3, 2);
    support::Net regression = support::net_for(numbers.get(), {4});
    save(regression.get());
    ASSERT_EQ(load_path(path("model"), &loaded), DK_OK) << dk_error_text();
    expect_same_net(regression.get(), loaded.get());
    EXPECT_EQ(support::predictions(regression.get(), numbers.get()),
              support::predictions(loaded.get(), numbers.get()));
}

TEST_F(ModelFile, TheSameNetworkGivesTheSameBytes) {
    support::Dataset data = support::synth(context.get(), "synth:spirals", 30);
    support::Net net = support::net_for(data.get(), {3});
    std::string bytes = save(net.get(), "one");
    EXPECT_EQ(save(net.get(), "one"), bytes);
    EXPECT_EQ(save(net.get(), "another name"), bytes);
    EXPECT_EQ(save(support::net_for(data.get(), {3}).get()), bytes);
    support::Net loaded;
    ASSERT_EQ(load(bytes, &loaded), DK_OK) << dk_error_text();
    EXPECT_EQ(save(loaded.get()), bytes);
    ASSERT_EQ(dk_net_freeze(loaded.get(), 1, true), DK_OK);
    EXPECT_NE(save(loaded.get()), bytes);
}

TEST_F(ModelFile, ALoadedNetworkGoesOnTrainingLikeTheSavedOne) {
    support::Dataset data = support::synth(context.get(), "synth:spirals", 100);
    support::Net net = support::net_for(data.get(), {8});
    support::Net loaded;
    ASSERT_EQ(load(save(net.get()), &loaded), DK_OK) << dk_error_text();
    for (dk_net *each : {net.get(), loaded.get()})
        ASSERT_EQ(
            dk_trainer_fit(support::trainer(each).get(), data.get(), nullptr, nullptr, nullptr),
            DK_OK)
            << dk_error_text();
    EXPECT_EQ(support::parameter_bits(net.get()), support::parameter_bits(loaded.get()));
}

// ---- damage ------------------------------------------------------------------------------------

TEST_F(ModelFile, TruncatedAtAnyByteIsRefused) {
    std::string bytes = small();
    ASSERT_EQ(load(bytes), DK_OK) << dk_error_text();
    for (size_t length = 0; length < bytes.size(); ++length) {
        ASSERT_EQ(load(bytes.substr(0, length)), DK_E_MODEL) << length;
        support::expect_error_names("loaded");
    }
    EXPECT_EQ(load(bytes + '\0'), DK_E_MODEL);
}

void expect_refusal_or_a_net(dk_status status, const support::Net &net) {
    if (status == DK_OK) {
        // Whatever was let through is a network: it can be described, run and read.
        dk_net_desc desc;
        ASSERT_EQ(dk_net_describe(net.get(), &desc), DK_OK);
        ASSERT_EQ(dk_net_validate(&desc), DK_OK) << dk_error_text();
        std::vector<float> x(static_cast<size_t>(desc.inputs), 0.5f);
        std::vector<float> y(static_cast<size_t>(desc.layers[desc.layer_count - 1].width));
        dk_status predicted = dk_predict(net.get(), x.data(), 1, y.data());
        ASSERT_TRUE(predicted == DK_OK || predicted == DK_E_NONFINITE) << dk_error_text();
        return;
    }
    ASSERT_TRUE(status == DK_E_MODEL || status == DK_E_NONFINITE || status == DK_E_IO)
        << dk_status_name(status) << ": " << dk_error_text();
}

TEST_F(ModelFile, MutatedFilesAreRefusedOrValid) {
    std::string bytes = small();
    std::mt19937 random(1);
    for (int i = 0; i < 3000; ++i) {
        SCOPED_TRACE(i);
        support::Net net;
        ASSERT_NO_FATAL_FAILURE(
            expect_refusal_or_a_net(load(support::mutate(bytes, random), &net), net));
    }
}

TEST_F(ModelFile, MutatedHeadersAreRefusedOrValid) {
    Parts parts = Parts::of(small());
    std::mt19937 random(2);
    for (int i = 0; i < 3000; ++i) {
        SCOPED_TRACE(i);
        support::Net net;
        std::string bytes = Parts{support::mutate(parts.header, random), parts.data}.join();
        ASSERT_NO_FATAL_FAILURE(expect_refusal_or_a_net(load(bytes, &net), net));
    }
}

TEST_F(ModelFile, MutatedDescriptionsAreRefusedOrValid) {
    Parts parts = Parts::of(small());
    std::string description = description_of(parts);
    std::mt19937 random(3);
    int valid = 0;
    for (int i = 0; i < 4000; ++i) {
        SCOPED_TRACE(i);
        support::Net net;
        std::string changed = support::mutate(description, random);
        for (char &c : changed) { // only what a JSON string can hold
            c = static_cast<char>(c & 0x7f);
            if (c == 0) c = ' ';
        }
        dk_status status = load(with_description(parts, changed), &net);
        valid += status == DK_OK;
        ASSERT_NO_FATAL_FAILURE(expect_refusal_or_a_net(status, net));
    }
    EXPECT_GT(valid, 0); // else the mutations never got past the JSON
}

// Sets the value at a path such as "layers.0.width" to a JSON text; "" removes the key.
std::string changed(const std::string &description, const std::string &where,
                    const std::string &value) {
    Json root(description);
    json_t *object = root.value;
    std::string key = where;
    for (size_t dot; (dot = key.find('.')) != std::string::npos; key = key.substr(dot + 1)) {
        std::string step = key.substr(0, dot);
        object = json_is_array(object) ? json_array_get(object, std::stoul(step))
                                       : json_object_get(object, step.c_str());
    }
    json_t *made = value.empty()
                       ? nullptr
                       : json_loads(value.c_str(), JSON_DECODE_ANY | JSON_ALLOW_NUL, nullptr);
    EXPECT_TRUE(made || value.empty()) << value;
    if (json_is_array(object)) {
        EXPECT_EQ(json_array_set_new(object, std::stoul(key), made), 0);
    } else if (made) {
        EXPECT_EQ(json_object_set_new(object, key.c_str(), made), 0);
    } else {
        EXPECT_EQ(json_object_del(object, key.c_str()), 0) << where;
    }
    return root.text();
}

TEST_F(ModelFile, LyingDescriptionsAreRefusedByName) {
    Parts parts = Parts::of(small()); // 2 → 3 → 3, features scaled, classes "0", "1", "2"
    std::string description = description_of(parts);
    ASSERT_EQ(load(with_description(parts, description)), DK_OK) << dk_error_text();
    const struct {
        const char *where, *value, *text;
    } lies[] = {
        {"format", "2", "format 2"},
        {"format", "\"1\"", "format"},
        {"format", "1.0", "format"},
        {"format", "", "format"},
        {"inputs", "3", "layers.1.weight"},
        {"inputs", "0", "inputs 0"},
        {"inputs", "-1", "inputs -1"},
        {"inputs", "9223372036854775807", "inputs 9223372036854775807"},
        {"inputs", "2.0", "inputs"},
        {"inputs", "null", "inputs"},
        {"inputs", "", "inputs"},
        {"seed", "1", "seed"},
        {"seed", "\"\"", "seed"},
        {"seed", "\"-1\"", "seed"},
        {"seed", "\" 1\"", "seed"},
        {"seed", "\"1x\"", "seed"},
        {"seed", "\"18446744073709551616\"", "seed"},
        {"seed", "", "seed"},
        {"loss", "null", "kind"},
        {"loss", "[]", "kind"},
        {"loss", "", "kind"},
        {"loss.kind", "\"softmax\"", "kind"},
        {"loss.huber_delta", "0", "huber_delta"},
        {"loss.huber_delta", "1e300", "huber_delta"},
        {"loss.huber_delta", "\"1\"", "huber_delta"},
        {"loss.label_smoothing", "1", "label_smoothing"},
        {"loss.label_smoothing", "", "label_smoothing"},
        {"loss.class_weights", "[1, 2]", "class_weights"},
        {"loss.class_weights", "[1, 2, 0]", "class_weights"},
        {"loss.class_weights", "[1, 2, \"3\"]", "class_weights"},
        {"loss.class_weights", "[1, 2, 1e39]", "class_weights"},
        {"loss.class_weights", "", "class_weights"},
        {"layers", "[]", "layers"},
        {"layers", "{}", "layers"},
        {"layers", "null", "layers"},
        {"layers", "", "layers"},
        {"layers.0", "null", "layer 1"},
        {"layers.1", "7", "layer 2"},
        {"layers.0.width", "4", "layers.1.weight"},
        {"layers.0.width", "0", "width"},
        {"layers.0.width", "-3", "width"},
        {"layers.0.width", "16777217", "width"},
        {"layers.1.width", "9223372036854775807", "width"},
        {"layers.1.width", "2", ""},
        {"layers.0.width", "3.0", "width"},
        {"layers.0.width", "true", "width"},
        {"layers.0.activation", "\"rleu\"", "relu"},
        {"layers.0.activation", "1", "activation"},
        {"layers.1.activation", "\"relu\"", "identity"},
        {"layers.0.alpha", "-1", "alpha"},
        {"layers.0.alpha", "1e99", "alpha"},
        {"layers.0.alpha", "null", "alpha"},
        {"layers.0.dropout", "1", "dropout"},
        {"layers.1.dropout", "0.5", "layer 2"},
        {"layers.0.init", "\"he\"", "init"},
        {"layers.0.init_value", "1e39", "init_value"},
        {"layers.0.frozen", "0", "frozen"},
        {"task", "\"none\"", "task"},
        {"task", "1", "task"},
        {"task", "", "task"},
        {"classes", "[\"a\", \"b\"]", "classes"},
        {"classes", "[\"a\", \"b\", 3]", "classes"},
        {"classes", "{}", "classes"},
        {"features", "{}", "features"},
        {"features", "7", "features"},
        {"features", "", "features"},
        {"features.shift", "null", "features"},
        {"features.shift", "[1]", "features"},
        {"features.scale", "[1, 0]", "features"},
        {"features.scale", "[1, -1]", "features"},
        {"features.scale", "[1, 1e-40]", "features"},
        {"features.scale", "[1, 1e39]", "features"},
        {"targets", "{\"shift\": [0, 0, 0], \"scale\": [1, 1, 1]}", "targets"},
    };
    for (const auto &lie : lies) {
        SCOPED_TRACE(std::string(lie.where) + " = " + lie.value);
        EXPECT_EQ(load(with_description(parts, changed(description, lie.where, lie.value))),
                  DK_E_MODEL);
        support::expect_error_names(lie.text);
        support::expect_error_names("loaded"); // the file
    }
}

TEST_F(ModelFile, DescriptionsThatAreNoJsonObjectAreRefused) {
    Parts parts = Parts::of(small());
    std::string description = description_of(parts);
    std::string twice = description;
    twice.insert(1, "\"format\":1,");
    std::string deep(100000, '[');
    std::vector<std::string> bad = {"",
                                    "{}",
                                    "[]",
                                    "null",
                                    "{\"format\": 1",
                                    "{} {}",
                                    "\"x\"",
                                    description + "x",
                                    twice,
                                    deep,
                                    "{\"a\": 1e999}",
                                    "{\"inputs\": 99999999999999999999}"};
    for (const std::string &text : bad) {
        SCOPED_TRACE(text.substr(0, 40));
        EXPECT_EQ(load(with_description(parts, text)), DK_E_MODEL);
    }
    std::string layers = "[";
    for (int i = 0; i < 1025; ++i) layers += std::string(i ? "," : "") + "1";
    EXPECT_EQ(load(with_description(parts, changed(description, "layers", layers + "]"))),
              DK_E_MODEL);
    support::expect_error_names("1025");
    EXPECT_EQ(load(with_description(parts, changed(description, "unknown", "[1]"))), DK_OK)
        << "an added key is a later version's: " << dk_error_text();
}

TEST_F(ModelFile, TensorsMustBeThoseOfTheLayers) {
    Parts parts = Parts::of(small());
    auto replaced = [&](const std::string &from, const std::string &to) {
        Parts other = parts;
        size_t at = other.header.find(from);
        EXPECT_NE(at, std::string::npos) << from << " in " << other.header;
        other.header.replace(at, from.size(), to);
        return other.join();
    };
    EXPECT_EQ(load(replaced("layers.2.bias", "layers.3.bias")), DK_E_MODEL);
    support::expect_error_names("layers.2.bias");
    EXPECT_EQ(load(replaced("layers.1.weight", "layers.1.wieght")), DK_E_MODEL);
    support::expect_error_names("layers.1.weight");
    EXPECT_EQ(load(replaced("layers.2.bias", "layers.1.bias")), DK_E_MODEL); // a name twice
    EXPECT_EQ(load(replaced("[3,2]", "[2,3]")), DK_E_MODEL);
    support::expect_error_names("layers.1.weight");
    EXPECT_EQ(load(replaced("[3,2]", "[6]")), DK_E_MODEL);
    EXPECT_EQ(load(replaced("\"F32\"", "\"I32\"")), DK_E_MODEL);
    EXPECT_EQ(load(replaced("[3]", "[3,1]")), DK_E_MODEL);

    Json header(parts.header); // one more tensor, after the others
    std::string end = std::to_string(parts.data.size());
    std::string entry = "{\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [" + end + ", " +
                        std::to_string(parts.data.size() + 4) + "]}";
    json_object_set_new(header.value, "extra", json_loads(entry.c_str(), 0, nullptr));
    EXPECT_EQ(load(Parts{header.text(), parts.data + "0000"}.join()), DK_E_MODEL);
    support::expect_error_names("5 tensors");

    Json fewer(parts.header); // the last tensor is missing
    json_object_del(fewer.value, "layers.2.bias");
    EXPECT_EQ(load(Parts{fewer.text(), parts.data.substr(0, parts.data.size() - 12)}.join()),
              DK_E_MODEL);
}

TEST_F(ModelFile, AnotherSafetensorsFileIsNoModel) {
    Parts parts = Parts::of(small());
    Json header(parts.header);
    json_object_del(header.value, "__metadata__");
    EXPECT_EQ(load(Parts{header.text(), parts.data}.join()), DK_E_MODEL);
    support::expect_error_names("isn't a deltak model");
    EXPECT_EQ(load(Parts{"{}", ""}.join()), DK_E_MODEL);
    EXPECT_EQ(load("PK\x03\x04 something else entirely, and long enough for a header"), DK_E_MODEL);
}

TEST_F(ModelFile, NonfiniteTensorsAreRefused) {
    std::string bytes = small();
    for (uint32_t bits : {0x7fc00000u, 0x7f800000u, 0xff800000u, 0x7f800001u})
        for (size_t from_end : {size_t{4}, size_t{4} * 21}) { // the last float, and the first
            std::string bad = bytes;
            std::memcpy(&bad[bad.size() - from_end], &bits, 4);
            EXPECT_EQ(load(bad), DK_E_NONFINITE) << dk_error_text();
            support::expect_error_names("layer");
        }
}

// ---- files -------------------------------------------------------------------------------------

TEST_F(ModelFile, AFailedSaveLeavesTheOldFileWhole) {
    support::Net net = support::net(context.get(), Description(1, {layer(1, DK_RELU)}));
    std::string old = save(net.get());
    // An lr of 1e38 overflows a parameter in one step; the network is what the update left.
    support::Arrays arrays;
    arrays.features = arrays.target_count = 1;
    arrays.x = {1};
    arrays.targets = {100};
    Description linear(1, {layer(1, DK_IDENTITY)});
    support::Net broken = support::net(context.get(), linear);
    dk_train_options options = DK_TRAIN_OPTIONS_INIT;
    options.optimizer = DK_SGD;
    options.lr = 1e38;
    options.schedule = DK_SCHEDULE_CONSTANT;
    options.warmup = 0;
    support::Trainer trainer = support::trainer(broken.get(), options);
    dk_batch batch = DK_BATCH_INIT;
    batch.rows = 1;
    batch.x = arrays.x.data();
    batch.targets = arrays.targets.data();
    ASSERT_EQ(dk_trainer_step(trainer.get(), &batch, nullptr), DK_OK) << dk_error_text();
    EXPECT_TRUE(std::isinf(support::tensor(broken.get(), DK_WEIGHT, 1)[0]));
    EXPECT_EQ(dk_net_save(broken.get(), path("model").c_str()), DK_E_NONFINITE);
    support::expect_error_names("layer 1");
    EXPECT_EQ(support::slurp(path("model")), old);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory), {}), 1);
}

TEST_F(ModelFile, ReportsWhatTheSystemRefuses) {
    support::Net net = support::net(context.get(), Description(1, {layer(1, DK_RELU)}));
    EXPECT_EQ(dk_net_save(net.get(), path("missing/model").c_str()), DK_E_IO);
    support::expect_error_names("missing/model");
    EXPECT_EQ(dk_net_save(net.get(), directory.c_str()), DK_E_IO);
    EXPECT_EQ(dk_net_save(net.get(), ""), DK_E_IO);
    EXPECT_EQ(load_path(path("missing")), DK_E_IO);
    support::expect_error_names("missing");
    EXPECT_EQ(load_path(directory.string()), DK_E_IO);
    EXPECT_EQ(load_path(""), DK_E_IO);
    if (access("/dev/full", W_OK) == 0) {
        EXPECT_EQ(dk_net_save(net.get(), "/dev/full"), DK_E_IO);
    }
    EXPECT_EQ(dk_net_save(nullptr, "x"), DK_E_ARGUMENT);
    EXPECT_EQ(dk_net_save(net.get(), nullptr), DK_E_ARGUMENT);
    dk_net *made = nullptr;
    EXPECT_EQ(dk_net_load(nullptr, context.get(), "x"), DK_E_ARGUMENT);
    EXPECT_EQ(dk_net_load(&made, nullptr, "x"), DK_E_ARGUMENT);
    EXPECT_EQ(dk_net_load(&made, context.get(), nullptr), DK_E_ARGUMENT);
    EXPECT_TRUE(std::filesystem::is_empty(directory));
}

} // namespace
