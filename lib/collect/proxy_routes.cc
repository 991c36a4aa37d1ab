#include "collect/proxy_routes.h"

namespace slm::collect {

namespace {

struct Provider {
  std::string_view host_end, name;
};
constexpr Provider kProviders[] = {{"api.openai.com", "openai"},       {".openai.azure.com", "azure.ai.openai"},
                                   {"api.anthropic.com", "anthropic"}, {"api.groq.com", "groq"},
                                   {"api.mistral.ai", "mistral_ai"},   {"api.deepseek.com", "deepseek"},
                                   {"openrouter.ai", "openrouter"},    {"api.together.xyz", "together"}};

}  // namespace

std::string provider_of(std::string_view host) {
  for (const Provider& p : kProviders)
    if (host.ends_with(p.host_end)) return std::string(p.name);
  return {};
}

bool below(std::string_view path, std::string_view prefix) {
  return path.starts_with(prefix) &&
         (path.size() == prefix.size() || prefix.empty() || path[prefix.size()] == '/' || path[prefix.size()] == '?');
}

size_t upstream_of(const std::vector<Upstream>& upstreams, std::string_view target) {
  size_t best = upstreams.size();
  for (size_t i = 0; i < upstreams.size(); ++i)
    if (below(target, upstreams[i].prefix) &&
        (best == upstreams.size() || upstreams[i].prefix.size() > upstreams[best].prefix.size()))
      best = i;
  return best;
}

http::Head to_upstream(const http::Head& head, const Upstream& upstream) {
  http::Head sent = head;
  http::drop_hop_by_hop(sent);
  sent.target = upstream.url.path + head.target.substr(upstream.prefix.size());
  if (sent.target.empty() || sent.target.front() != '/') sent.target.insert(0, "/");
  http::set(sent, "Host", upstream.url.authority());
  return sent;
}

}  // namespace slm::collect
