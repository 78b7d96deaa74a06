-- HEAD of one upload after the other. wrk waits for the end of the connection where an answer has no length, even after a HEAD, which
-- has no body. So it asks in the other way that tus has for it: POST, with the method in a header.

local headers = { ["Tus-Resumable"] = "1.0.0", ["X-HTTP-Method-Override"] = "HEAD", ["Content-Length"] = "0" }
local requests = {}
local last = 0
local threads = {}

-- Global, because each thread has a state of its own, and only globals can be read from outside.
wrong = 0

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  for path in io.lines(args[1]) do
    table.insert(requests, wrk.format("POST", path, headers))
  end
end

function request()
  last = last % #requests + 1
  return requests[last]
end

function response(status)
  if status ~= 200 then
    wrong = wrong + 1
  end
end

function done(summary, latency)
  local wrong = 0
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("wrong")
  end
  local errors = summary.errors
  print(string.format(
    '{"failed":%d,"requests":%d,"median":%f,"p99":%f,"most":%f}',
    wrong + errors.connect + errors.read + errors.write + errors.timeout, summary.requests,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
