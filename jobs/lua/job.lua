-- Prepended to every script about one job. KEYS and ARGV[1] are what Keys.of_job in keys.py lists.
local RECORD, EVENTS, CHANGES, OUTBOX, PUBLISHED, WAITING, LEASES, OUTPUTS, ENDED, COUNTERS = unpack(KEYS, 1, 10)
local BY_STATUS = {
  queued = KEYS[11], running = KEYS[12], succeeded = KEYS[13], failed = KEYS[14], cancelled = KEYS[15],
}
local TERMINAL = {succeeded = true, failed = true, cancelled = true}
local ID = ARGV[1]
local EVENTS_KEPT = 10000
-- Upper ends of the buckets of durations, in seconds; the same as BOUNDS in counters.py.
local BOUNDS = {1, 5, 15, 60, 300, 900, 3600, 14400, 43200, 86400}

local function field(name)
  return redis.call('HGET', RECORD, name)
end

-- What store.py reads a job from: its fields and, while it is queued, the number of jobs ahead of it.
local function record()
  return {ID, redis.call('HGETALL', RECORD), redis.call('ZRANK', WAITING, ID)}
end

local function tell(kind, data)
  redis.call('XADD', EVENTS, 'MAXLEN', '~', EVENTS_KEPT, '*',
    'kind', kind, 'attempt', field('attempt'), 'data', cjson.encode(data))
  redis.call('PUBLISH', CHANGES, ID)
end

-- A visible change: fields of the record, its version, and the event that tells of it.
local function change(fields, kind, data)
  for name, value in pairs(fields) do
    redis.call('HSET', RECORD, name, value)
  end
  redis.call('HINCRBY', RECORD, 'version', 1)
  tell(kind, data)
end

-- Counters are what counters.py reads: written with the change that they count, so that neither is there alone.
local function count(name, by)
  redis.call('HINCRBY', COUNTERS, name, by or 1)
end

local function observe(name, microseconds)
  local bucket = 'inf'
  for _, bound in ipairs(BOUNDS) do
    if microseconds <= bound * 1000000 then
      bucket = bound
      break
    end
  end
  count(name .. '|' .. bucket)
  count(name .. '|microseconds', whole(microseconds))
end

-- What an attempt has used so far; of these the totals are counted, the others are as they are now.
local USED = {'bytes_read', 'bytes_written', 'training_steps', 'fit_steps', 'host_memory_bytes', 'gpu_memory_bytes', 'gpu_memory_limit_bytes'}
local TOTALS = {bytes_read = true, bytes_written = true, training_steps = true, fit_steps = true}

-- Only stages that came to their own end are measured.
local function stage_ends(time)
  local began = field('stage_at')
  if began then
    observe('stage|' .. field('stage'), time - began)
    redis.call('HDEL', RECORD, 'stage_at')
  end
end

-- The answer to a write whose attempt no longer holds the job.
local function lost(write)
  count('fencing_refusals|' .. write)
  return {'lost'}
end

local enter = {}

function enter.queued(time, publish_at)
  redis.call('ZADD', WAITING, whole(time), ID)
  redis.call('ZADD', OUTBOX, whole(publish_at or time), ID)
  redis.call('HDEL', RECORD, 'stage', 'stage_at', 'claim')
  redis.call('HSET', RECORD, 'progress', '0.0')
end

function enter.running(time)
  redis.call('HSETNX', RECORD, 'started_at', whole(time))
end

local function enter_end(time)
  redis.call('HSET', RECORD, 'finished_at', whole(time))
  redis.call('ZADD', ENDED, whole(time), ID)
  redis.call('ZREM', OUTPUTS, field('output') .. ' ' .. ID)
end
enter.succeeded, enter.failed, enter.cancelled = enter_end, enter_end, enter_end

-- The only way from one status to another: keeps record, indexes and events in step.
local function move(to, event, publish_at)
  local from = field('status')
  if from then
    redis.call('ZREM', BY_STATUS[from], ID)
  end
  for _, key in ipairs({OUTBOX, PUBLISHED, WAITING, LEASES}) do
    redis.call('ZREM', key, ID)
  end
  redis.call('ZADD', BY_STATUS[to], 0, ID)
  if TERMINAL[to] then
    count('ended|' .. to)
  end
  enter[to](now(), publish_at)
  event.status = to
  change({status = to}, 'status', event)
end

-- The token decides: an attempt whose lease ended still holds the job until somebody else takes it.
local function holds(token)
  return field('status') == 'running' and field('attempt') == token
end

-- After an outage of Redis every lease has ended; live workers get one whole lease to renew before any is judged.
local function lease_ended(lease_seconds)
  if tonumber(redis.call('ZSCORE', LEASES, ID)) > now() then
    return false
  end
  local uptime = string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)')
  return tonumber(uptime) >= tonumber(lease_seconds)
end

local function lease(lease_seconds)
  local ends = whole(now() + lease_seconds * 1000000)
  redis.call('ZADD', LEASES, ends, ID)
  return ends
end

-- Cancelled while no worker holds it: what dead attempts left behind goes with one more message to a worker.
local function cancel_unheld(event)
  move('cancelled', event)
  if tonumber(field('attempt')) > 0 then
    redis.call('ZADD', OUTBOX, whole(now()), ID)
  end
end

local function give_up_attempt(reason)
  if field('cancel_requested') == '1' then
    cancel_unheld({reason = reason})
  else
    move('queued', {reason = reason})
  end
end
