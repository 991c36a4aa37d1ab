// Which provider a request of the proxy goes to, and with which head.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "collect/proxy.h"
#include "http/message.h"

namespace slm::collect {

// Whether `path` is `prefix` or lies below it: whole segments only.
bool below(std::string_view path, std::string_view prefix);
// The upstream of the longest prefix; upstreams.size() if none serves the path.
size_t upstream_of(const std::vector<Upstream>& upstreams, std::string_view target);
// The head without the fields of the client's connection, at the upstream's path and host.
http::Head to_upstream(const http::Head& head, const Upstream& upstream);
// The name of the provider at a host, as the semantic conventions spell it; empty: not known.
std::string provider_of(std::string_view host);

}  // namespace slm::collect
