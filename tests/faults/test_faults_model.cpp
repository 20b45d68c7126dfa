// Failures while networks are made, saved, loaded, trained and used.
#include "model_workflows.h"

namespace faults {
namespace {

std::vector<Workflow> workflows() {
    std::vector<Workflow> all = model_workflows();
    for (const Workflow &workflow : bf16_workflows()) all.push_back(workflow);
    return all;
}

class ModelFaults : public testing::TestWithParam<Workflow> {};
TEST_P(ModelFaults, AreSurvived) {
    survive(GetParam());
}
TEST_P(ModelFaults, WeatherIsBorne) {
    weather(GetParam());
}
INSTANTIATE_TEST_SUITE_P(Using, ModelFaults, testing::ValuesIn(workflows()),
                         [](const testing::TestParamInfo<Workflow> &row) { return name_of(row); });

} // namespace
} // namespace faults
