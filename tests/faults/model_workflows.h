// The workflows of networks: made, saved, loaded, trained and used, on the device that is tested.
#ifndef DELTAK_TESTS_FAULTS_MODEL_WORKFLOWS_H
#define DELTAK_TESTS_FAULTS_MODEL_WORKFLOWS_H

#include "workflow.h"

namespace faults {

std::vector<Workflow> model_workflows();
/// The same on the CPU in bf16; none where the processor doesn't multiply that.
std::vector<Workflow> bf16_workflows();

} // namespace faults

#endif
