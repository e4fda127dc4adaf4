-- Gives every request of wrk another x-ms-client-request-id, as azure-identity does. Run in the root of the repository.
dofile("benches/generator/percentiles.lua")

local name = "x%-ms%-client%-request%-id: "
local before, after
local count = 0

init = function()
    local whole = wrk.format()
    local _, last = whole:lower():find(name)
    before, after = whole:sub(1, last), whole:sub(last + 9)
end

request = function()
    count = count + 1
    return before .. string.format("%08x", count) .. after
end
