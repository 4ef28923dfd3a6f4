-- Sends the bodies of a file in turn, and prints what came back as one line of JSON. A body ends with the byte 30.
-- wrk -t1 -s score.lua URL -- BODIES; headers come by -H.

local requests, sent = {}, 0

function init(args)
    local file = assert(io.open(args[1], "rb"))
    for body in file:read("*a"):gmatch("[^\30]+") do
        requests[#requests + 1] = wrk.format("POST", nil, nil, body)
    end
    file:close()
end

function request()
    sent = sent % #requests + 1
    return requests[sent]
end

function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format(
        '{"requests":%d,"micros":%d,"p50":%d,"p90":%d,"p99":%d,"highest":%d,"bad":%d,"broken":%d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(90), latency:percentile(99),
        latency.max, errors.status, errors.connect + errors.read + errors.write + errors.timeout
    ))
end
