#pragma once
// Settings that libtorch's CPU libraries read once, at their first use.

// Some virtual machines advertise AMX but hide CPUID leaf 0x1D, which describes its tiles. oneDNN then configures no tiles and
// the first bf16 product dies with SIGILL. On such a processor this keeps oneDNN below AMX (environment variable
// ONEDNN_MAX_CPU_ISA, unless the user has set it). Returns true when it did so. To be called before libtorch is opened.
bool avoid_unusable_tiles();

// libtorch keeps 1,024 prepared bf16 products a thread and oneDNN another 1,024 a process, each of about half a megabyte and good for
// one shape. Packed batches have nearly always a new number of tokens, so that a process grew until all were full. 256 hold what
// recurs. To be called before libtorch is opened; what the user has set stays.
void bound_prepared_products();

// libgomp's threads spin for milliseconds before they sleep. Beside an event loop, or on a machine that others use too, that costs
// more than waking up does: on a busy 2-core machine steps of a small model took a third of the time with 10,000 turns and a fifth
// with 1,000; alone on the machine, 1,000 cost 4 to 6 % and 20,000 nothing. Unless the user has chosen (OMP_WAIT_POLICY or
// GOMP_SPINCOUNT), they give up after 10,000. To be called before libtorch is opened.
void shorten_spinning();
