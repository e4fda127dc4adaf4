-- Asks for a new token of one identity after the other. The file IDENTITIES has their client ids, one a line.
local paths, next = {}, 0
for id in io.lines(os.getenv("IDENTITIES")) do
    paths[#paths + 1] = "/metadata/identity/oauth2/token?api-version=2023-07-01&bypass_cache=true"
        .. "&resource=https%3A%2F%2Fmanagement.azure.com%2F&client_id=" .. id
end
function request()
    next = next % #paths + 1
    return wrk.format("GET", paths[next], { Metadata = "true", ["User-Agent"] = "azsdk-python-identity/1.27.0", Accept = "*/*" })
end
function done(summary)
    local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout
    io.write(string.format("requests %d failed %d\n", summary.requests, failed))
end
