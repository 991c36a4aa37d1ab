// What the proxy counts, as text for Prometheus.
//
// Source: Prometheus text exposition format 0.0.4.
#pragma once

#include <string>

#include "collect/proxy.h"

namespace slm::collect {

std::string prometheus_text(const ProxyCounts& proxy, const Recorder& recorder);

}  // namespace slm::collect
