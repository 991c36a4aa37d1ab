// Tells glibc's malloc to keep what is freed. A step of training frees and takes the same hundreds of megabytes again;
// given back to the kernel in between, every page faults and is zeroed anew (15–25 % of a step of a small model on two
// cores). The most memory held at once stays the same. Done once for the process; elsewhere than on glibc nothing is.
#pragma once

namespace slm::nn {

void keep_freed_memory();

}  // namespace slm::nn
