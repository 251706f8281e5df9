-- Prepended to every script. Times are Redis' own, in microseconds, written out in full: a plain tostring rounds them.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function whole(number)
  return string.format('%.0f', number)
end
