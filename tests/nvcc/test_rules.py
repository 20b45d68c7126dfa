#!/usr/bin/env python3
"""rules.py on code that breaks them: a rule proves itself by what it refuses."""
import unittest

import ptx
import rules

# A kernel as nvcc writes it: the wait is inline assembly.
KERNEL = """\
.visible .entry copy_kernel(
	.param .u64 copy_kernel_param_0, // a name with griddepcontrol.wait; in a comment
	.param .u8 copy_kernel_param_1
)
.maxntid 256, 1, 1
{
	.reg .pred 	%p<3>;
	.reg .b64 	%rd<9>;

	ld.param.u64 	%rd1, [copy_kernel_param_0];
	cvta.to.global.u64 	%rd2, %rd1;
	// begin inline asm
	griddepcontrol.wait;
	// end inline asm
	setp.eq.s64 	%p1, %rd1, 0;
	@%p1 bra 	$L__BB0_2;
	.pragma "nounroll";
	ld.global.v4.f32 	{%f1, %f2, %f3, %f4}, [%rd2];
	st.global.f32 	[%rd2+4], %f1;
$L__BB0_2:
	ret;
}
"""
WAIT = "	griddepcontrol.wait;\n"


def module(code, architecture=90):
    return ptx.read(f"// Cuda compilation tools, release 13.0, V13.0.88\n.version 9.0\n.target sm_{architecture}\n"
                    f".address_size 64\n{code}")


def behind(line):
    """The kernel with `line` before its wait."""
    return KERNEL.replace(WAIT, f"	{line}\n{WAIT}")


class Reading(unittest.TestCase):
    def test_kernels_and_their_statements(self):
        found = module(KERNEL + KERNEL.replace("copy", "other"), 75)
        self.assertEqual((found.architecture, found.release), (75, "13.0"))
        self.assertEqual([kernel.name for kernel in found.kernels], ["copy_kernel", "other_kernel"])
        statements = found.kernels[0].statements
        self.assertEqual(statements[2:5], ["ld.param.u64 %rd1, [copy_kernel_param_0]",
                                           "cvta.to.global.u64 %rd2, %rd1", "griddepcontrol.wait"])
        self.assertIn("$L__BB0_2:", statements)
        self.assertEqual(statements[-1], "ret")

    def test_what_is_no_ptx(self):
        for text in ("", "int main() {}", ".target sm_90\n.entry x() { ret;"):
            self.assertRaises(ValueError, ptx.read, text)


class Waits(unittest.TestCase):
    def refused(self, code, says, architecture=90):
        faults = rules.faults_of_waits(module(code, architecture))
        self.assertEqual(len(faults), 1, faults)
        self.assertIn(says, faults[0])

    def test_a_kernel_that_waits_first(self):
        for architecture in (90, 100, 120):
            self.assertEqual(rules.faults_of_waits(module(KERNEL, architecture)), [])
        self.assertEqual(rules.faults_of_waits(module(KERNEL.replace(WAIT, ""), 89)), [])

    def test_a_wait_that_is_missing(self):
        self.refused(KERNEL.replace(WAIT, ""), "stands before the wait")
        self.refused(KERNEL.replace(WAIT, "	// griddepcontrol.wait;\n"), "stands before the wait")
        self.refused("	.entry empty_kernel() { .reg .b32 %r<2>; }", "no wait")
        self.refused(KERNEL + KERNEL.replace(WAIT, "").replace("copy", "second"), "second_kernel")

    def test_memory_before_the_wait(self):
        for access in ("ld.global.f32 	%f1, [%rd2];", "ld.global.nc.v2.u64 	{%rd3, %rd4}, [%rd2];",
                       "ld.u32 	%r1, [%rd1];", "ld.volatile.global.u32 %r1, [%rd2];", "ld.relaxed.gpu.u32 %r1, [%rd2];",
                       "st.global.u32 	[%rd2], %r1;", "st.u32 	[%rd1], %r1;", "atom.global.add.u32 	%r1, [%rd2], 1;",
                       "red.global.max.u32 	[%rd2], %r1;", "prefetch.global.L2 [%rd2];", "ld.const.u32 %r1, [table];",
                       "cp.async.ca.shared.global [%r1], [%rd2], 16;", "tex.1d.v4.f32.s32 {%f1,%f2,%f3,%f4}, [x, {%r1}];",
                       "@%p2 ld.global.u32 	%r1, [%rd2];", "	.loc 1 20 5\n	ld.global.u32 	%r1, [%rd2];"):
            with self.subTest(access):
                self.refused(behind(access), "stands before the wait")

    def test_a_wait_that_not_every_path_meets(self):
        for line in ("@%p1 bra 	$L__BB0_2;", "bra.uni 	$L__BB0_2;", "call.uni 	other, ();", "@%p1 ret;", "exit;",
                     "bar.sync 	0;"):
            with self.subTest(line):
                self.refused(behind(line), "stands before the wait")
        self.refused(KERNEL.replace("	griddepcontrol", "	@%p1 griddepcontrol"), "stands before the wait")
        self.refused(KERNEL.replace(WAIT, "$L__again:\n" + WAIT), "$L__again")
        moved = KERNEL.replace(WAIT, "").replace("	.pragma", WAIT + "	.pragma")
        self.refused(moved, "bra $L__BB0_2")

    def test_arithmetic_on_parameters_may_come_first(self):
        for line in ("ld.param.v2.u32 	{%r1, %r2}, [copy_kernel_param_1];", "mov.u32 	%r1, %ctaid.x;",
                     "mad.lo.s32 	%r3, %r1, %r2, %r4;", ".shared .align 16 .b8 shared[64];"):
            self.assertEqual(rules.faults_of_waits(module(behind(line))), [])

    def test_what_older_ones_do_not_have(self):
        self.refused(KERNEL, "sm_89", 89)

    def test_dependents_that_start_early(self):
        self.refused(KERNEL.replace("	ret;", "	griddepcontrol.launch_dependents;\n	ret;"), "launch_dependents")


REPORT = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z11copy_kernelPf' for 'sm_75'
ptxas info    : Function properties for _Z11copy_kernelPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 80 registers, used 1 barriers, 9216 bytes smem, 456 bytes cmem[0]
ptxas info    : Compile time = 6.1 ms
ptxas info    : Compiling entry function '_Z12other_kernelPf' for 'sm_120a'
ptxas info    : Function properties for _Z12other_kernelPf
    32 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers
"""


def use(registers, shared=0, architecture=90):
    return rules.Use("x_kernel", architecture, 0, 0, registers, shared)


class Memory(unittest.TestCase):
    def test_the_report(self):
        self.assertEqual(rules.uses(REPORT), [rules.Use("_Z11copy_kernelPf", 75, 0, 0, 80, 9216),
                                              rules.Use("_Z12other_kernelPf", 120, 32, 12, 255, 0)])

    def test_spills_and_stack(self):
        copy, other = rules.uses(REPORT)
        self.assertEqual(rules.faults_of_memory(copy), [])
        self.assertEqual(len(rules.faults_of_memory(other)), 2)
        self.assertEqual(len(rules.faults_of_memory(other._replace(stack=0))), 1)
        self.assertEqual(len(rules.faults_of_memory(other._replace(spilled=0))), 1)

    def test_arrays_in_local_memory(self):
        self.assertEqual(rules.faults_of_local_memory(module(KERNEL)), [])
        depot = KERNEL.replace("	.reg .pred", "	.local .align 16 .b8 	__local_depot0[32];\n	.reg .pred")
        self.assertEqual(len(rules.faults_of_local_memory(module(depot))), 1)

    def test_resident_blocks(self):
        # 65,536 / (80 · 256) = 3.2; 81 registers are 88 of them, 2.9
        self.assertEqual(rules.resident_blocks(use(80), 256), 3)
        self.assertEqual(rules.resident_blocks(use(81), 256), 2)
        self.assertEqual(rules.resident_blocks(use(8), 256), 4)
        self.assertEqual(rules.resident_blocks(use(65), 1024), 0)
        self.assertEqual(rules.resident_blocks(use(8, shared=31 * 1024), 256), 2)

    def test_what_a_family_needs(self):
        self.assertEqual(rules.faults_of_residence(use(80), "delta"), [])
        self.assertEqual(len(rules.faults_of_residence(use(81), "delta")), 1)
        self.assertEqual(rules.faults_of_residence(use(128, architecture=100), "delta"), [])
        self.assertEqual(len(rules.faults_of_residence(use(129, architecture=100), "delta")), 1)
        self.assertIn("doesn't say", rules.faults_of_residence(use(8), "unheard_of")[0])


if __name__ == "__main__":
    unittest.main()
