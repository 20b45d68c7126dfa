// Forged checkpoints: every hash is right, what they say is not. Each field takes every kind of nonsense: it
// is refused with a text, or the run goes on as far as it can; nothing is changed by a refusal, and no
// number overflows (this runs under UndefinedBehaviorSanitizer, too).
#include "support_damage.h"
#include "support_model.h"
#include "support_promise.h"

#include <cmath>
#include <limits>

namespace {

using support::Json;

class Forged : public crash::Damage {
  protected:
    // What a checkpoint says, and its tensors' bytes.
    std::string training() {
        support::Allocator allocator;
        dki_safetensors file;
        EXPECT_EQ(dki_safetensors_parse(allocator.get(), "file", bytes.data(), bytes.size(), &file),
                  DK_OK);
        const std::string text = dki_safetensors_metadata(&file, "deltak.training");
        dki_safetensors_release(allocator.get(), &file);
        return text;
    }
    // The checkpoint with another state of the training and, by choice, other tensors; with right hashes.
    void forge(const std::string &text,
               const std::function<void(std::vector<dki_safetensor> &)> &change = nullptr) {
        support::Allocator allocator;
        dki_safetensors file;
        ASSERT_EQ(dki_safetensors_parse(allocator.get(), "file", bytes.data(), bytes.size(), &file),
                  DK_OK);
        const dki_metadata metadata[] = {{"deltak", dki_safetensors_metadata(&file, "deltak")},
                                         {"deltak.training", text.c_str()}};
        std::vector<dki_safetensor> tensors(file.tensors, file.tensors + file.count);
        if (change) change(tensors);
        EXPECT_EQ(dki_safetensors_write(allocator.get(), newer.c_str(), metadata, 2, tensors.data(),
                                        tensors.size()),
                  DK_OK)
            << dk_error_text();
        dki_safetensors_release(allocator.get(), &file);
    }
    // Resumes it and goes on to the end; a refusal changes nothing.
    dk_status go_on(bool anyway) {
        crash::Process process(world);
        const std::vector<uint32_t> bits = process.bits();
        dk_status status = process.resume(newer, anyway);
        if (status) {
            EXPECT_TRUE(status == DK_E_MODEL || status == DK_E_STATE || status == DK_E_NONFINITE ||
                        status == DK_E_SHAPE || status == DK_E_MEMORY)
                << dk_status_name(status) << ": " << dk_error_text();
            support::expect_error_names(crash::name_of(newer_step));
            EXPECT_EQ(process.bits(), bits);
            return status;
        }
        const dk_status end = process.fit({"", 0, 1, 0, nullptr});
        EXPECT_TRUE(end == DK_OK || end == DK_E_STATE || end == DK_E_NONFINITE ||
                    end == DK_E_MEMORY)
            << dk_status_name(end) << ": " << dk_error_text();
        return status;
    }
};

TEST_F(Forged, TheForgersToolIsRight) {
    forge(training());
    EXPECT_EQ(support::slurp(newer), bytes);
    EXPECT_EQ(go_on(false), DK_OK) << dk_error_text();
}

// Paths of all leaves, as "options.batch".
void leaves_of(json_t *object, const std::string &prefix, std::vector<std::string> *leaves) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        leaves->push_back(prefix + key);
        if (json_is_object(value)) leaves_of(value, prefix + key + ".", leaves);
    }
}

// The text with another value at a path; "" removes it.
std::string with(const std::string &text, const std::string &where, const std::string &value) {
    Json root(text);
    json_t *object = root.value;
    std::string key = where;
    for (size_t dot; (dot = key.find('.')) != std::string::npos; key = key.substr(dot + 1))
        object = json_object_get(object, key.substr(0, dot).c_str());
    if (value.empty())
        EXPECT_EQ(json_object_del(object, key.c_str()), 0) << where;
    else
        EXPECT_EQ(json_object_set_new(object, key.c_str(),
                                      json_loads(value.c_str(), JSON_DECODE_ANY, nullptr)),
                  0)
            << where << " = " << value;
    return root.text();
}

TEST_F(Forged, AnyFieldWithAnyNonsense) {
    const std::string text = training();
    std::vector<std::string> leaves;
    leaves_of(Json(text).value, "", &leaves);
    ASSERT_GE(leaves.size(), 60u);
    const std::string of_no_field[] = {"", "[]", "{}", "[0]", "\"" + std::string(2000, 'x') + "\""};
    const std::string of_some[] = {"null",
                                   "true",
                                   "false",
                                   "-1",
                                   "0",
                                   "1",
                                   "2147483648",
                                   "9223372036854775807",
                                   "-9223372036854775808",
                                   "4611686018427387904",
                                   "0.5",
                                   "-0.5",
                                   "1e308",
                                   "\"\"",
                                   "\"x\"",
                                   "\"0\"",
                                   "\"9223372036854775807\"",
                                   "\"18446744073709551615\"",
                                   "\"18446744073709551616\"",
                                   "\"-1\"",
                                   "\"nan\"",
                                   "\"inf\"",
                                   "\"-inf\"",
                                   "\"abcdef\""};
    int64_t tried = 0, refused = 0;
    for (const std::string &leaf : leaves) {
        for (const std::string &value : of_no_field) {
            SCOPED_TRACE(leaf + " = " + value.substr(0, 40));
            // "plans" may be missing; of the CPU there are none.
            forge(with(text, leaf, value));
            const dk_status status = go_on(tried % 2 == 0);
            ++tried;
            EXPECT_TRUE(status == DK_E_MODEL || leaf == "plans") << dk_error_text();
            refused += status == DK_E_MODEL;
        }
        for (const std::string &value : of_some) {
            SCOPED_TRACE(leaf + " = " + value);
            forge(with(text, leaf, value));
            refused += go_on(tried % 2 == 0) != DK_OK;
            ++tried;
            if (HasFailure()) return;
        }
    }
    EXPECT_GT(refused, tried / 2);
    support::promise("Checkpoints survive anything",
                     "a field of the training's state forged, with right hashes", tried);
}

TEST_F(Forged, NumbersThatNoRunHasAreRefused) {
    const struct {
        const char *where, *value;
    } lies[] = {
        {"format", "2"},
        {"options.batch", "0"},
        {"options.batch", "1099511627776"},
        {"options.accumulate", "-1"},
        {"options.optimizer", "99"},
        {"options.lr", "\"nan\""},
        {"options.lr", "0.0"},
        {"options.schedule", "77"},
        {"options.keep", "2"},
        {"progress.total_steps", "-1"},
        {"progress.first_step", "-1"},
        {"progress.ticks", "\"12\""},
        {"progress.ticks", "\"9223372036854775807\""},
        {"state.tick", "\"14\""},
        {"state.applied", "\"14\""},
        {"state.beta1_power", "-0.5"},
        {"state.beta2_power", "\"nan\""},
        {"state.loss_scale", "\"inf\""},
        {"state.delta_scale", "-1.0"},
        {"fit.epoch", "0"},
        {"fit.epochs", "0"},
        {"fit.steps", "-1"},
        {"fit.steps", "9223372036854775807"},
        {"fit.rows", "-1"},
        {"fit.best_epoch", "3"},
        {"fit.seconds", "-1.0"},
        {"fit.seconds", "\"nan\""},
    };
    for (const auto &lie : lies) {
        SCOPED_TRACE(std::string(lie.where) + " = " + lie.value);
        forge(with(training(), lie.where, lie.value));
        EXPECT_EQ(go_on(true), DK_E_MODEL) << dk_error_text();
        support::expect_error_names("resume from " + older);
    }
    // They agree with each other, and one more step would overflow.
    std::string text = training();
    for (const char *where : {"progress.ticks", "state.tick", "state.applied"})
        text = with(text, where, "\"9223372036854775807\"");
    forge(text);
    EXPECT_EQ(go_on(true), DK_E_MODEL) << dk_error_text();
    support::promise("Checkpoints survive anything", "a number that no run has",
                     int64_t(std::size(lies)) + 1);
}

// Tensors: missing, too many, of another shape or type, not finite.
TEST_F(Forged, TensorsThatTheStateDoesNotGoWith) {
    const std::string text = training();
    using Tensors = std::vector<dki_safetensor>;
    auto refused = [&](dk_status status, const std::function<void(Tensors &)> &change) {
        forge(text, change);
        EXPECT_EQ(go_on(true), status) << dk_error_text();
        support::expect_error_names("resume from " + older);
    };
    const float zeros[64] = {};
    for (size_t t = 0; t < 12; ++t) {
        SCOPED_TRACE(t);
        const dk_status missing = t < 4 ? DK_E_SHAPE : DK_E_MODEL; // a network of other layers?
        forge(text, [&](Tensors &all) { all.erase(all.begin() + long(t)); });
        EXPECT_EQ(go_on(true), missing) << dk_error_text();
        forge(text, [&](Tensors &all) { all[t].dtype = "I32"; });
        EXPECT_EQ(go_on(true), missing) << dk_error_text();
    }
    refused(DK_E_MODEL, [&](Tensors &all) {
        dki_safetensor more = all[0];
        more.name = "more";
        all.push_back(more);
    });
    refused(DK_E_MODEL, [&](Tensors &all) { all[4].name = "slot2.layers.1.weight"; });
    for (float bad : {std::numeric_limits<float>::infinity(), std::nanf("")})
        for (size_t t : {0, 3, 8, 11}) { // the parameters and the best epoch's
            SCOPED_TRACE(t);
            std::vector<float> values(zeros, zeros + 64);
            values[2] = bad;
            refused(DK_E_NONFINITE, [&](Tensors &all) { all[t].data = values.data(); });
        }
    support::promise("Checkpoints survive anything", "tensors forged, with right hashes",
                     2 * 12 + 10);
}

TEST_F(Forged, TextsThatAreNoState) {
    for (const std::string &text :
         {std::string(), std::string("{"), std::string("[]"), std::string("null"),
          std::string("{}"), std::string(100000, '['),
          "{\"format\":1,\"format\":1}" + std::string(), training() + "x",
          training().substr(0, 300)}) {
        SCOPED_TRACE(text.substr(0, 40));
        forge(text);
        EXPECT_EQ(go_on(true), DK_E_MODEL) << dk_error_text();
    }
}

} // namespace
