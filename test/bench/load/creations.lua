-- Creations that bring their bytes along. Other answers than 201 are counted, and the end is told as one line of JSON.

local threads = {}

wrk.method = "POST"
wrk.body = string.rep("tributary bench ", 4096 / 16)
wrk.headers["Tus-Resumable"] = "1.0.0"
wrk.headers["Upload-Length"] = tostring(#wrk.body)
wrk.headers["Content-Type"] = "application/offset+octet-stream"

-- Global, because each thread has a state of its own, and only globals can be read from outside.
wrong = 0
example = 0

function setup(thread)
  table.insert(threads, thread)
end

function response(status)
  if status ~= 201 then
    wrong = wrong + 1
    example = status
  end
end

function done(summary, latency)
  local wrong, example = 0, 0
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("wrong")
    example = math.max(example, thread:get("example"))
  end
  local errors = summary.errors
  print(string.format(
    '{"wrong":%d,"example":%d,"broken":%d,"requests":%d,"duration":%f,"median":%f,"p99":%f}',
    wrong, example, errors.connect + errors.read + errors.write + errors.timeout,
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
