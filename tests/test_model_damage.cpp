// Damaged and lying model files: refused with a text, without a crash and without a leak (this runs
// under AddressSanitizer as well).
#include "support_model.h"

namespace {

using support::description_of;
using support::Json;
using support::layer;
using support::ModelFile;
using support::Parts;
using support::with_description;

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
    std::string bytes = Parts::of(small()).join();
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
    std::string bytes = Parts::of(small()).join();
    for (uint32_t bits : {0x7fc00000u, 0x7f800000u, 0xff800000u, 0x7f800001u})
        for (size_t from_end : {size_t{4}, size_t{4} * 21}) { // the last float, and the first
            std::string bad = bytes;
            std::memcpy(&bad[bad.size() - from_end], &bits, 4);
            EXPECT_EQ(load(bad), DK_E_NONFINITE) << dk_error_text();
            support::expect_error_names("layer");
        }
}

} // namespace
