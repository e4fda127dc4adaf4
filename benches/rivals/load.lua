-- One request, again and again, for wrk: `wrk ... -s load.lua URL -- POST|GET FILE-OF-FORM`.
-- Prints one line of JSON at the end; fails unless every answer was 200 and held a token.

local threads = {}
good = 0

function setup(thread)
    table.insert(threads, thread)
end

function init(args)
    wrk.method = args[1]
    if wrk.method == "POST" then
        local file = assert(io.open(args[2], "rb"))
        wrk.body = file:read("*a")
        file:close()
        wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
    else
        wrk.headers["Metadata"] = "true"
    end
    request_bytes = wrk.format()
end

function request()
    return request_bytes
end

function response(status, headers, body)
    if status == 200 and string.find(body, '"access_token"', 1, true) then
        good = good + 1
    end
end

function done(summary, latency, requests)
    local tokens = 0
    for _, thread in ipairs(threads) do
        tokens = tokens + thread:get("good")
    end
    local of = summary.errors
    local errors = of.connect + of.read + of.write + of.status + of.timeout
    local line = string.format(
        '{"requests": %d, "duration_us": %d, "tokens": %d, "errors": %d}',
        summary.requests, summary.duration, tokens, errors
    )
    print(line)
    if tokens == 0 or tokens ~= summary.requests or errors > 0 then
        io.stderr:write("error: not every answer was 200 with a token: " .. line .. "\n")
        os.exit(1)
    end
end
