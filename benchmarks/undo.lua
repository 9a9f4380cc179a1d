-- wrk's side of rollback_under_load.py: a steady rate, and who answered each request, by the clock time.monotonic reads.
local ffi = require("ffi")
ffi.cdef[[ typedef struct { long sec; long nsec; } moment; int clock_gettime(int clock, moment *now); ]]
local moment = ffi.new("moment")

local function now()
  ffi.C.clock_gettime(1, moment)
  return tonumber(moment.sec) + tonumber(moment.nsec) * 1e-9
end

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  pause, body, asked_at = tonumber(args[1]), args[2], now() + 1e9
  answers, failed, last_new = 0, 0, 0
  wrk.method, wrk.body = "POST", body
end

function delay()
  return pause
end

function response(status, headers)
  answers = answers + 1
  if status ~= 200 then failed = failed + 1 end
  if (headers["X-Rivals-Variant"] or headers["x-rivals-variant"]) == "new" then last_new = now() end
end

function done(summary, latency)
  local answers, failed, last_new = 0, 0, 0
  for _, thread in ipairs(threads) do
    answers, failed = answers + thread:get("answers"), failed + thread:get("failed")
    last_new = math.max(last_new, thread:get("last_new"))
  end
  local errors = summary.errors
  failed = failed + errors.connect + errors.read + errors.write + errors.timeout
  print(string.format('{"answers": %d, "failed": %d, "last_new": %.6f, "p99_ms": %.3f, "rate": %.1f}',
    answers, failed, last_new, latency:percentile(99) / 1e3, answers / summary.duration * 1e6))
end
